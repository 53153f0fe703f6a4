"""What migrations do to a live database, as a framework would send it: a session of its own, no time-out of its own."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import psycopg

ADD_COLUMN = "ALTER TABLE orders ADD COLUMN source text"
HEAD_START = 0.1  # seconds that the application's own session has before the migration begins
POLL = 0.02  # seconds between two looks for the migration's lock
PATIENCE = 10.0  # seconds to wait for it


@dataclass(frozen=True)
class Setting:
    """What one trial adds to a scenario: where the application's sessions connect, how long they stay, and the trial's own chance."""

    url: str
    hold: float
    chance: random.Random


Beside = Callable[[Setting], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """`commands` go to psql one by one; `{hold}` is the trial's seconds. `beside` is what another session of the application does then."""

    name: str
    commands: tuple[str, ...]
    undo: tuple[str, ...] = ("ALTER TABLE orders DROP COLUMN IF EXISTS source",)
    beside: Beside | None = None
    blocks_readers: bool = True


async def _session(setting: Setting, name: str) -> psycopg.AsyncConnection:
    joined = f"{setting.url}{'&' if '?' in setting.url else '?'}application_name={name}"
    return await psycopg.AsyncConnection.connect(joined, autocommit=True)


async def _seen(connection: psycopg.AsyncConnection, locks: str) -> None:
    """Return when the server shows a lock on orders for which the condition `locks` is true, or after PATIENCE."""
    query = f"SELECT 1 FROM pg_locks WHERE relation = 'orders'::regclass AND {locks}"  # noqa: S608  # from constants
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not await (await connection.execute(query.encode())).fetchone():  # noqa: ASYNC110  # the event is the server's
                await asyncio.sleep(POLL)


async def _long_transaction(setting: Setting) -> None:
    """A report that has read one row and keeps its transaction open, idle, from before the migration comes until well after."""
    async with await _session(setting, "shop-report") as connection:
        await connection.execute("BEGIN")
        await connection.execute("SELECT * FROM orders WHERE id = 1")
        await _seen(connection, "NOT granted")
        await asyncio.sleep(setting.hold)
        await connection.execute("COMMIT")


async def _crossing(setting: Setting) -> None:
    """Locks customers first and orders second, while the migration does it the other way round."""
    async with await _session(setting, "shop-checkout") as connection:
        await connection.execute("BEGIN")
        await connection.execute("UPDATE customers SET balance = balance + 1 WHERE id = 1")
        await _seen(connection, "granted AND mode = 'AccessExclusiveLock'")
        await asyncio.sleep(setting.chance.uniform(0, 0.05))
        try:
            await connection.execute("UPDATE orders SET status = 'paid' WHERE id = 1")
            await connection.execute("COMMIT")
        except psycopg.errors.DeadlockDetected:
            await connection.execute("ROLLBACK")


BEHIND_A_LONG_TRANSACTION = Scenario("ALTER behind a long transaction", (ADD_COLUMN,), beside=_long_transaction)
REWRITE = Scenario(
    "ALTER TYPE rewrite", ("ALTER TABLE orders ALTER COLUMN amount TYPE bigint USING amount + 0",), undo=()
)
FOREIGN_KEYS = Scenario(
    "FK validation",
    (
        "ALTER TABLE orders "
        + ", ".join(
            f"ADD CONSTRAINT orders_{column}_fk FOREIGN KEY ({column}) REFERENCES customers"
            for column in ("customer", "payer", "recipient")
        ),
    ),
    undo=tuple(
        f"ALTER TABLE orders DROP CONSTRAINT IF EXISTS orders_{column}_fk"
        for column in ("customer", "payer", "recipient")
    ),
    blocks_readers=False,
)
INDEX = Scenario(
    "CREATE INDEX",
    ("CREATE INDEX orders_note ON orders (note, status)",),
    undo=("DROP INDEX IF EXISTS orders_note",),
    blocks_readers=False,
)
DEADLOCK = Scenario(
    "deadlock with the application",
    ("BEGIN", ADD_COLUMN, "SELECT pg_sleep(0.3)", "ALTER TABLE customers ADD COLUMN source text", "COMMIT"),
    undo=(
        "ALTER TABLE orders DROP COLUMN IF EXISTS source",
        "ALTER TABLE customers DROP COLUMN IF EXISTS source",
    ),
    beside=_crossing,
)
SLEEPS = Scenario("sleeps holding a lock", ("BEGIN", ADD_COLUMN, "SELECT pg_sleep({hold})", "COMMIT"))
IDLE = Scenario("idle in transaction, holding", ("BEGIN", ADD_COLUMN, r"\! sleep {hold}", "COMMIT"))

ALL = (BEHIND_A_LONG_TRANSACTION, REWRITE, FOREIGN_KEYS, INDEX, DEADLOCK, SLEEPS, IDLE)
