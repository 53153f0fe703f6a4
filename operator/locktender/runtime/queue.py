"""The work queue: each key at most once in it and at most once in work, with delays and growing patience after errors.

add(key) ----------> ready --> get() --> in work --> done(key)
add(key, delay) --> delayed --^             `-- added meanwhile: ready again after done()
"""

import asyncio
import contextlib
import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

BACKOFF_FIRST = 0.1  # seconds after the first error of a key
BACKOFF_LONGEST = (
    20.0  # seconds: a right or a quota that is mended brings no event, and 30 s later nothing may wait for it
)
AFTER_ERROR = 1.0  # seconds until an event about a key whose last pass failed is followed
JITTER = 0.2  # share of a backoff that is random, so that keys that failed together do not return together

Key = tuple[str, str]  # namespace and name of a DatabaseMigration


@dataclass
class WorkQueue:
    """Used from one event loop. `clock` is in seconds and only ever moves forward."""

    clock: Callable[[], float]
    jitter: Callable[[], float] = random.random
    _ready: deque[Key] = field(default_factory=deque)
    _waiting: dict[Key, float] = field(default_factory=dict)
    _again: set[Key] = field(default_factory=set)
    _working: set[Key] = field(default_factory=set)
    _delayed: list[tuple[float, Key]] = field(default_factory=list)
    _due: dict[Key, float] = field(default_factory=dict)
    _failures: dict[Key, int] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Ask for a pass over `key`, now or in `delay` seconds. An earlier wish for the same key stands."""
        if delay <= 0 and key in self._failures:
            delay = AFTER_ERROR  # an event, perhaps of our own making, must not turn a lasting error into a hot loop
        if delay > 0:
            due = self.clock() + delay
            if self._due.get(key, due + 1) > due:
                self._due[key] = due
                heapq.heappush(self._delayed, (due, key))
                self._wake.set()
            return
        self._now(key)

    def _now(self, key: Key) -> None:
        if key in self._working:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting[key] = self.clock()
            self._ready.append(key)
            self._wake.set()

    async def get(self) -> tuple[Key, float]:
        """The next key and the seconds it has waited. The caller must call `done` (or `failed`, then `done`) for it."""
        while True:
            wait = self._promote()
            if self._ready:
                key = self._ready.popleft()
                self._working.add(key)
                return key, self.clock() - self._waiting.pop(key)
            self._wake.clear()
            # Not asyncio.wait_for: before Python 3.12 it swallows a cancellation that comes together with a key.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def _promote(self) -> float | None:
        """Move what is due to the ready line; the seconds until the next delayed key."""
        now = self.clock()
        while self._delayed:
            due, key = self._delayed[0]
            if self._due.get(key) != due:
                heapq.heappop(self._delayed)  # an earlier wish has replaced this one
            elif due <= now:
                heapq.heappop(self._delayed)
                del self._due[key]
                self._now(key)
            else:
                return due - now
        return None

    def done(self, key: Key) -> None:
        """The pass over `key` is over; if it was added meanwhile it is ready again."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)  # after an error: in a moment, not at once

    def succeeded(self, key: Key) -> None:
        """Forget the errors of `key`."""
        self._failures.pop(key, None)

    def failed(self, key: Key) -> float:
        """Count an error and ask for another pass later; the delay in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay = min(BACKOFF_FIRST * 2.0**count, BACKOFF_LONGEST)
        delay *= 1 + JITTER * (self.jitter() - 0.5)
        self.add(key, delay)
        return delay
