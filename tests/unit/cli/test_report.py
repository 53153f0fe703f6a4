"""`locktender report` out of a file: what a person reads, and that no name or query can be more than text on the page."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locktender.__main__ import main
from locktender.cli import report_page, report_picture, report_text, story
from locktender.core.timeline import Timeline
from tests.agent_log import Log, a_log

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;</svg></style>"
TAGS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "p",
        "h1",
        "h2",
        "div",
        "span",
        "b",
        "small",
        "section",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "code",
        "footer",
        "svg",
        "defs",
        "pattern",
        "rect",
        "text",
        "line",
        "polygon",
        "polyline",
    ]
)


def an_object(log: Log, **spec: Any) -> dict[str, Any]:
    """The MigrationReport of a log."""
    timeline = Timeline()
    for line in log.lines:
        timeline.add(line)
    identity = {
        "migration": {"name": "shop-db", "uid": "u"},
        "run": "3f9a1c2b-1-9d04",
        "attempt": 1,
        "image": "shop:v2",
    }
    return {
        "apiVersion": "locktender.dev/v1alpha1",
        "kind": "MigrationReport",
        "metadata": {"name": "shop-db-migrate-92", "namespace": "shop"},
        "spec": {**identity, "budget": 2.0, **spec},
        "report": timeline.content(),
    }


def a_cancelled_migration() -> Log:
    log = a_log().baseline().blocked(1.0, 3.0).hold(0.2, 0.5, mode="ShareLock", relation="public.customers")
    log.wait(2.0, 2.0).wait(2.5, 1.5, application="worker", pid=42)
    for n in range(9):
        log.sample(n / 2, blocked=n // 4, walBytes=n * 1024, worstWait=n / 4, blockedSeconds=3.5)
    return log.cancel(4.0).ended(4.5)


def a_file(folder: Path, raw: Any) -> str:
    file = folder / "report.json"
    file.write_text(json.dumps(raw))
    return str(file)


class Elements(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def assert_harmless(page: str) -> None:
    """Only tags of ours, no attribute that loads or runs anything, and pictures that are XML."""
    found = Elements(page).tags
    assert {tag for tag, _ in found} <= TAGS
    names = {name for _, attributes in found for name in attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"src", "href", "xlink:href", "style"})
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert pictures
    for picture in pictures:
        ET.fromstring(picture)  # noqa: S314  # made by us a moment ago


def test_the_text_tells_what_happened_who_blocked_and_what_to_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--file", a_file(tmp_path, an_object(a_cancelled_migration()))]) == 0
    assert (
        capsys.readouterr().out
        == """\
Migration shop-db, run 3f9a1c2b-1-9d04, attempt 1
began 2026-03-01T12:00:00.000Z, watched for 4.5 s, image shop:v2

The migration was stopped: others had waited for it as long as its lock budget allows (LockBudgetExceeded).

  longest wait of another session  2.0 s   (budget 2.0 s)
  waits of others together         3.5 s in 2 waits, at most 2 at once
  longest wait of the migration    3.0 s
  write-ahead log                  8.0 KiB

What the migration waited for
    3.0 s  ACCESS EXCLUSIVE on public.orders, from 1.0 s
           held up by report, application psql (pid 39), idle in transaction for 40 s
             SELECT count(*) FROM orders

Who waited for the migration
    2.0 s  app, application web (pid 41): ACCESS SHARE on public.orders, from 2.0 s
           SELECT * FROM orders WHERE id = $1
    1.5 s  app, application worker (pid 42): ACCESS SHARE on public.orders, from 2.5 s
           SELECT * FROM orders WHERE id = $1

What the migration held
    0.5 s  SHARE on public.customers, from 0.2 s

What was stopped
    4.0 s  session 40 cancelled after 2.0 s with AccessExclusiveLock on public.orders: LockBudgetExceeded, 3 of others waiting
           ALTER TABLE orders ADD COLUMN note text

Next
  End what stood in its way: report, application psql (pid 39) left a transaction open: mend the application, or set \
idle_in_transaction_session_timeout; now: SELECT pg_terminate_backend(39).
  Then try again: kubectl -n shop annotate dbm shop-db locktender.dev/retry=$(date +%s) --overwrite
  As a page with a picture: locktender report shop-db-migrate-92 -n shop -o html > report.html
"""
    )


def test_a_quiet_migration_is_told_in_a_few_lines() -> None:
    text = report_text.text(story.read(an_object(a_log().baseline().sample(1.0).ended(1.0))), report_text.Style())
    assert "Nobody had to wait for the migration." in text
    assert "What was stopped" not in text
    assert "kubectl -n shop describe dbm shop-db" in text


def test_a_report_with_gaps_says_so() -> None:
    text = report_text.text(story.read(an_object(a_log().baseline().sample(1.0))), report_text.Style())
    assert "The agent's log was not whole" in text


def test_colours_are_for_terminals_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = a_file(tmp_path, an_object(a_cancelled_migration()))
    for choice, coloured in (("auto", False), ("never", False), ("always", True)):
        assert main(["report", "--file", file, "--color", choice]) == 0
        assert ("\x1b[" in capsys.readouterr().out) is coloured


def test_json_is_what_is_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = an_object(a_cancelled_migration())
    assert main(["report", "--file", a_file(tmp_path, raw), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == raw


def test_the_page_stands_alone_and_shows_every_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--file", a_file(tmp_path, an_object(a_cancelled_migration())), "-o", "html"]) == 0
    page = capsys.readouterr().out
    assert_harmless(page)
    for part in ("cancelled at 4.0 s", "behind report, application psql (pid 39)", "public.customers", "SHARE, 0.5 s"):
        assert part in page
    assert "prefers-color-scheme: dark" in page
    assert "Content-Security-Policy" in page


def test_a_hostile_relation_or_query_is_text() -> None:
    log = a_log().baseline().wait(1.0, 1.0, relation=HOSTILE, query=HOSTILE, application=HOSTILE, user=HOSTILE)
    log.hold(0.5, 1.0, relation=HOSTILE).blocked(0.1, 0.4, relation=HOSTILE).cancel(1.5, statement=HOSTILE)
    raw = an_object(log, image=HOSTILE, release=HOSTILE)
    raw["metadata"]["name"] = raw["metadata"]["namespace"] = raw["report"]["cause"] = HOSTILE
    page = report_page.page(story.read(raw))
    assert_harmless(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
SPAN = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ["start", "seconds", "pid", "user", "mode", "relation", "query", "behind", "blockers", "at", "what", "why"],
        JSON,
    ),
)
REPORTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("began", "seconds", "cause", "server", "left", "summary", "marks"), JSON),
        **{name: st.lists(SPAN, max_size=4) for name in ("waits", "holds", "blocked", "stops", "samples")},
    },
)


@settings(max_examples=100, deadline=None)
@given(REPORTS)
def test_whatever_a_file_holds_a_page_and_a_text_come_out(report: Any) -> None:
    told = story.read({"kind": "MigrationReport", "metadata": {}, "spec": {"budget": 2.0}, "report": report})
    assert_harmless(report_page.page(told))
    assert report_text.text(told, report_text.Style()).endswith("\n")


def test_a_short_wait_in_a_long_migration_gets_a_picture_of_its_own() -> None:
    log = a_log().baseline().hold(600.0, 1.0).wait(600.1, 0.9).ended(1800.0)
    titles = [title for title, _ in report_picture.pictures(story.read(an_object(log)))]
    assert titles == ["Lock timeline", "Around the longest wait"]
    short = a_log().baseline().hold(0.0, 1.0).wait(0.1, 0.9).ended(1.0)
    assert len(report_picture.pictures(story.read(an_object(short)))) == 1


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.1), (0.0, 4.4), (0.0, 95.0), (639.2, 641.6), (0.0, 1e7)])
def test_the_time_axis_has_a_few_round_moments(start: float, end: float) -> None:
    moments = report_picture.ticks(start, end)
    assert 3 <= len(moments) <= 20
    assert all(start <= moment <= end for moment in moments)


@pytest.mark.parametrize(
    "content", ["no JSON", "{}", "[]", '{"kind": "DatabaseBackup"}', '{"kind": "MigrationReport"}']
)
def test_what_is_no_report_ends_with_exit_code_1_and_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    file = tmp_path / "report.json"
    file.write_text(content)
    assert main(["report", "--file", str(file)]) == 1
    assert capsys.readouterr().err.startswith("locktender report: ")
    assert main(["report", "--file", str(tmp_path / "nothing")]) == 1


def test_wrong_use_ends_with_exit_code_2_and_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["report", "shop-db", "--run", "x"], ["report", "-o", "pdf"]):
        with pytest.raises(SystemExit) as end:
            main(wrong)
        assert end.value.code == 2
    with pytest.raises(SystemExit) as end:
        main(["report", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "locktender report shop-db -o html > report.html" in said
    assert "Exit code: 0 shown, 1" in said
