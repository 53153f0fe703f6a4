from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from locktender.core import actions as act
from locktender.core import messages
from locktender.core.reports import parse
from tests.builders import BACKUP_FACTS, a_migration, a_pod, ended, report


def test_passwords_in_urls_and_settings_are_masked() -> None:
    text = "cannot reach postgres://shop:canary-7@db:5432/shop (password=canary-7, PGPASSWORD='canary 7')"
    assert "canary" not in messages.redact(text)
    assert "postgres://***@db:5432/shop" in messages.redact(text)


def test_long_texts_keep_their_head_and_their_tail() -> None:
    text = messages.fit("a" * 3000 + "the end")
    assert len(text) <= messages.MESSAGE_LIMIT
    assert text.startswith("aaa")
    assert text.endswith("the end")


@given(st.text())
def test_no_pods_words_break_the_status(text: str) -> None:
    fitted = messages.untrusted(text)
    assert len(fitted) <= messages.MESSAGE_LIMIT
    json.dumps(fitted)
    assert not any(ord(character) < 32 and character not in "\n\t" for character in fitted)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_a_pod_prints_is_a_report_or_none(value: object) -> None:
    found = parse(json.dumps(value))
    assert found is None or found.outcome in ("Succeeded", "Failed", "Waiting")


def test_a_backup_report_with_a_missing_or_forged_fact_has_no_facts() -> None:
    good = parse(report("Succeeded", "Succeeded", backup=BACKUP_FACTS))
    assert good is not None
    assert good.backup == BACKUP_FACTS
    for forged in ({**BACKUP_FACTS, "sizeBytes": "big"}, {**BACKUP_FACTS, "tables": True}, {"id": "x"}, [], None):
        bad = parse(report("Succeeded", "Succeeded", backup=forged))
        assert bad is not None
        assert bad.backup == {}


@pytest.mark.parametrize(("said", "read"), [(4096, 4096), (0, 0), (-1, None), (True, None), ("1", None), (2**70, None)])
def test_what_is_left_of_the_volume_is_a_number_of_bytes_or_unknown(said: object, read: int | None) -> None:
    found = parse(report("Succeeded", "Succeeded", backup=BACKUP_FACTS, freeBytes=said))
    assert found is not None
    assert (found.free, found.backup) == (read, BACKUP_FACTS)


def test_what_is_left_of_the_volume_goes_with_the_record_of_the_backup() -> None:
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    words = report("Succeeded", "Succeeded", kind="backup", backup=BACKUP_FACTS, freeBytes=4096)
    decision = world.pod_of("Backup", a_pod(ended("backup", 0, words)), complete=True).step()
    assert [action.free for action in decision.actions if isinstance(action, act.EnsureBackup)] == [4096]


def test_a_long_text_is_masked_without_taking_for_ever() -> None:
    """A million characters of a word would take hours if every character began a search of its own."""
    for piece in ("a", "pass", "http://", "a-", "1a", "Failing row contains ("):
        assert len(messages.untrusted(piece * (1_000_000 // len(piece)))) <= messages.MESSAGE_LIMIT


def test_a_url_is_masked_whatever_stands_before_it() -> None:
    for before in ("", "9", "_", "url=1", "é", "x-", "("):
        assert messages.untrusted(f"{before}postgres://shop:canary@db/shop").endswith("postgres://***@db/shop")
