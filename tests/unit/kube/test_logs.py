"""A pod's log in pieces: each line once, however the stream breaks, and none that is too long."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from locktender.core.errors import ApiError
from locktender.kube import logs
from locktender.kube.client import Client
from tests.agent_log import LogServer, a_log


@given(st.lists(st.text(alphabet="ab\n\u00e9", max_size=30), max_size=10))
def test_lines_are_the_same_in_whatever_pieces_they_come(pieces: list[str]) -> None:
    splitter = logs.Splitter(limit=12)
    lines = [line for piece in pieces for line in splitter.feed(piece.encode())]
    assert lines == [line for line in "".join(pieces).split("\n")[:-1] if len(line.encode()) <= 12]


async def followed(server: LogServer) -> list[str]:
    """What a reader gets that comes back after each break."""
    got: list[str] = []
    position = logs.Position()
    for _ in range(20):
        try:
            async for line in logs.follow(cast("Client", server), "shop", "pod", position):
                got.append(line)  # noqa: PERF401  # what came before a break has come
        except ApiError:
            continue
        return got
    raise AssertionError("no end")


@given(st.lists(st.integers(0, 3000), max_size=6), st.lists(st.integers(0, 40), min_size=5, max_size=30))
async def test_a_stream_that_breaks_off_anywhere_loses_and_repeats_nothing(breaks: list[int], steps: list[int]) -> None:
    log, at = a_log(), 0.0
    for step in steps:
        at = round(at + step / 20, 3)
        log.sample(at, blocked=step)
    assert await followed(LogServer(log, tuple(breaks))) == log.lines


async def test_a_log_is_asked_for_from_the_last_second_on() -> None:
    log = a_log().sample(0.5).sample(1.2).sample(1.4)
    size = len("".join(f"{line}\n" for line in log.lines[:2]).encode())
    server = LogServer(log, (size,))
    assert await followed(server) == log.lines
    wanted: list[dict[str, Any]] = [{"container": "agent", "follow": "true", "timestamps": "true"}] * 2
    wanted[1] = {**wanted[1], "sinceTime": "2026-03-01T12:00:01Z"}
    assert server.asked == wanted


def test_a_line_without_a_timestamp_is_no_line() -> None:
    position = logs.Position()
    assert [position.is_new(line) for line in ("", "failed to watch file", "2026-03-01T12:00:00.1Z {}")] == [
        False,
        False,
        True,
    ]
