"""Readers and writers of the application, each a session of its own; the client's clock around each statement is what a user feels.

All clients live on one event loop that does nothing else. Two things are measured beside them, so that a slow machine is not taken for a
lock: how late the loop wakes up, and how long statements take on a table that no migration touches. The larger one is the floor.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import psycopg

THINK = 0.02  # seconds between two statements of one client, times 0.5 to 1.5: a few hundred statements a second in all
BEAT = 0.005  # seconds the loop's own watch sleeps
READERS, WRITERS, CONTROLS = 8, 6, 2


class Kind(StrEnum):
    """What a client does."""

    READER = "reader"
    WRITER = "writer"
    CONTROL = "control"


@dataclass(frozen=True)
class Statement:
    """One statement as its client saw it: seconds of the monotonic clock, and the SQLSTATE if it failed."""

    kind: Kind
    begun: float
    seconds: float
    failed: str = ""


@dataclass(frozen=True)
class Felt:
    """What the application felt in a span of time, in seconds."""

    reader: float
    writer: float
    floor: float
    statements: int
    failures: tuple[str, ...]

    @property
    def stall(self) -> float:
        """The longest statement of any user."""
        return max(self.reader, self.writer)


@dataclass
class Traffic:
    """Running clients and what they have seen since `forget`."""

    url: str
    orders: int
    statements: list[Statement] = field(default_factory=list)
    lateness: list[tuple[float, float]] = field(default_factory=list)
    open: dict[int, float] = field(default_factory=dict)

    def forget(self) -> None:
        """Begin a new record."""
        self.statements.clear()
        self.lateness.clear()

    async def all_begun_after(self, moment: float) -> None:
        """Return when no statement is under way that began before `moment`."""
        while any(begun < moment for begun in self.open.values()):  # noqa: ASYNC110  # the clients shall do nothing but their statements
            await asyncio.sleep(BEAT)

    def felt(self, begun: float, ended: float) -> Felt:
        """What the statements of the record felt that were under way between the two moments."""
        within = [one for one in self.statements if one.begun + one.seconds >= begun and one.begun <= ended]

        def worst(kind: Kind) -> float:
            return max((one.seconds for one in within if one.kind is kind), default=0.0)

        late = max((late for at, late in self.lateness if begun <= at <= ended), default=0.0)
        failures = tuple(sorted(one.failed for one in within if one.failed))
        return Felt(worst(Kind.READER), worst(Kind.WRITER), max(late, worst(Kind.CONTROL)), len(within), failures)

    async def client(self, number: int, kind: Kind, seed: int) -> None:
        """One client until it is cancelled."""
        chance = random.Random(f"{seed}/{kind}/{number}")  # noqa: S311  # traffic, no secret
        name = f"{self.url}{'&' if '?' in self.url else '?'}application_name=shop-{kind}"
        async with await psycopg.AsyncConnection.connect(name, autocommit=True) as connection:
            while True:
                await asyncio.sleep(THINK * chance.uniform(0.5, 1.5))
                query, key = self._choose(kind, chance)
                begun = self.open[number] = time.monotonic()
                failed = ""
                try:
                    await connection.execute(query.encode(), (key,))
                except psycopg.Error as problem:
                    failed = problem.sqlstate or "lost"
                self.statements.append(Statement(kind, begun, time.monotonic() - begun, failed))
                self.open[number] = float("inf")

    def _choose(self, kind: Kind, chance: random.Random) -> tuple[str, int]:
        order, customer = chance.randint(1, self.orders), chance.randint(1, self.orders // 10)
        if kind is Kind.CONTROL:
            return "UPDATE untouched SET visits = visits + 1 WHERE id = %s", chance.randint(1, 10000)
        if kind is Kind.READER:
            on_orders = "SELECT id, status FROM orders WHERE id = %s", order
            return on_orders if chance.random() < 0.7 else ("SELECT name FROM customers WHERE id = %s", customer)
        on_orders = "UPDATE orders SET status = 'shipped' WHERE id = %s", order
        on_customers = "UPDATE customers SET balance = balance + 1 WHERE id = %s", customer
        return on_orders if chance.random() < 0.7 else on_customers

    async def watch_itself(self) -> None:
        """How late this loop is, until cancelled."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(BEAT)
            self.lateness.append((begun, max(time.monotonic() - begun - BEAT, 0.0)))


@asynccontextmanager
async def traffic(url: str, orders: int, seed: int) -> AsyncIterator[Traffic]:
    """Clients for the time of the block."""
    made = Traffic(url, orders)
    kinds = [*[Kind.READER] * READERS, *[Kind.WRITER] * WRITERS, *[Kind.CONTROL] * CONTROLS]
    tasks = [asyncio.create_task(made.client(number, kind, seed)) for number, kind in enumerate(kinds)]
    tasks.append(asyncio.create_task(made.watch_itself()))
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
