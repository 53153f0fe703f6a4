from __future__ import annotations

import asyncio

import pytest

from locktender.runtime.queue import BACKOFF_LONGEST, WorkQueue

A, B = ("ns", "a"), ("ns", "b")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue:
    return WorkQueue(clock, jitter=lambda: 0.5)


async def test_a_key_added_twice_is_worked_on_once(queue: WorkQueue) -> None:
    queue.add(A)
    queue.add(A)
    assert (await queue.get())[0] == A
    queue.done(A)
    assert len(queue) == 0


async def test_a_key_added_while_in_work_comes_back_after_it(queue: WorkQueue) -> None:
    queue.add(A)
    await queue.get()
    queue.add(A)
    assert len(queue) == 0, "one key is never in two hands"
    queue.done(A)
    assert (await queue.get())[0] == A


async def test_the_queue_tells_how_long_a_key_waited(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A)
    clock.now = 3.0
    assert await queue.get() == (A, 3.0)


async def test_a_delayed_key_comes_when_it_is_due_and_an_earlier_wish_wins(queue: WorkQueue, clock: Clock) -> None:
    queue.add(A, 10.0)
    queue.add(A, 5.0)
    queue.add(A, 20.0)
    clock.now = 5.0
    assert (await queue.get())[0] == A
    queue.done(A)
    clock.now = 30.0
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(queue.get(), 0.01)


async def test_an_event_overtakes_a_delay(queue: WorkQueue) -> None:
    waiting = asyncio.create_task(queue.get())
    queue.add(A, 100.0)
    await asyncio.sleep(0)
    queue.add(B)
    assert (await asyncio.wait_for(waiting, 1))[0] == B


async def test_errors_wait_longer_and_longer_and_success_forgets_them(queue: WorkQueue) -> None:
    delays = [queue.failed(A) for _ in range(12)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == BACKOFF_LONGEST
    queue.succeeded(A)
    assert queue.failed(A) == 0.1


@pytest.mark.parametrize("turns", range(5))
async def test_a_worker_that_is_stopped_in_the_moment_a_key_arrives_stops(queue: WorkQueue, turns: int) -> None:
    queue.add(B, 100.0)  # so that the worker waits with a time limit
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    for _ in range(turns):
        await asyncio.sleep(0)
    if worker.cancel():
        await asyncio.wait({worker})
        assert worker.cancelled()
    else:
        assert worker.result()[0] == A
