"""Two summaries of one pod as one; what a damaged file may hold counts as nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from locktender.runner.agent import marks
from locktender.runner.agent.kept import Kept

if TYPE_CHECKING:
    from pathlib import Path

NOW: dict[str, Any] = {
    "seconds": 2.5, "budget": 2.0, "worstWait": 0.5, "blockedSeconds": 0.75, "waits": 2, "queue": 2, "worst": {"mode": "Share"},
    "ownWait": 3.0, "blockers": [{"pid": 7}], "cancelled": 1, "terminated": 0, "cause": "", "recovered": False, "deadlocks": 0,
    "walBytes": 100, "lockTimeoutSeen": False, "waitsDropped": 0,
}  # fmt: skip
EARLIER = NOW | {
    "seconds": 10.0, "worstWait": 1.5, "blockedSeconds": 4.0, "waits": 5, "queue": 1, "worst": {"mode": "AccessShare"}, "ownWait": 1.0,
    "blockers": [], "terminated": 1, "cause": "LockTimeout", "recovered": True, "walBytes": 90, "lockTimeoutSeen": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LOCKTENDER_RUN_DIR", str(tmp_path))
    return tmp_path


def test_what_a_restarted_agent_says_is_the_sum_and_the_worst_of_both() -> None:
    assert Kept(EARLIER).whole(NOW) == NOW | {
        "seconds": 12.5, "worstWait": 1.5, "blockedSeconds": 4.75, "waits": 7, "worst": {"mode": "AccessShare"}, "cancelled": 2,
        "terminated": 1, "cause": "LockTimeout", "recovered": True, "lockTimeoutSeen": True,
    }  # fmt: skip
    assert Kept(EARLIER).whole(NOW | {"cause": "Lost"})["cause"] == "Lost"


@pytest.mark.parametrize(
    "damaged", [{}, {"seconds": "x"}, {**EARLIER, "queue": None}, {**EARLIER, "waits": []}, {"a": 1}]
)
def test_a_damaged_file_counts_as_nothing(damaged: dict[str, Any]) -> None:
    assert Kept(damaged).whole(NOW) == NOW


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"[" * 20000, b"{" + b" " * 20000 + b"}"])
def test_a_file_that_is_none_is_empty(folder: Path, content: bytes) -> None:
    assert marks.remembered() == {}
    (folder / "so-far").write_bytes(content)
    assert marks.remembered() == {}


def test_it_is_written_when_it_has_changed_and_at_most_once_a_second(folder: Path) -> None:
    kept = Kept(EARLIER)
    kept.keep(1.0, NOW)
    assert (kept.due(1.9), kept.due(2.0)) == (False, True)
    assert marks.remembered()["waits"] == 7
    (folder / "so-far").unlink()
    kept.keep(2.0, NOW | {"seconds": 3.5, "walBytes": 200})
    assert marks.remembered() == {}
    kept.keep(3.0, NOW | {"waits": 3})
    assert marks.remembered()["waits"] == 8
