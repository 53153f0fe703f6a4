"""One trial: traffic, a migration in the middle of it, with the agent beside it or without; and what the application felt."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tools.bench.locks.programs import Ended, Migrated, agent, migration, processor_seconds
from tools.bench.locks.scenarios import HEAD_START, Scenario, Setting
from tools.bench.locks.traffic import Felt, Traffic

QUIET = 0.2  # seconds of traffic before the migration and after it
HOLD = 1.0  # seconds that a session holds a lock beyond one and a half budgets: without the agent, all that is felt
_AGENTS = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'locktender agent%'"


@dataclass(frozen=True)
class Bench:
    """Where trials happen. The application's sessions use `traffic.url`, the migration and the agent `url`."""

    url: str
    psql: Path
    folder: Path
    traffic: Traffic
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Trial:
    """What came of one. `cpu_seconds` is what the agent's sessions used of the server's processor in `seconds`, from the migration's
    start on; `start_cpu_seconds` what they used before, from the held fence on.
    """

    scenario: Scenario
    budget: float
    seed: int
    felt: Felt
    migrated: Migrated
    ended: Ended | None
    seconds: float
    cpu_seconds: float
    start_cpu_seconds: float

    @property
    def beyond(self) -> float:
        """How far the worst stall went beyond the budget, in seconds; negative when it did not."""
        return self.felt.stall - self.budget


async def run(bench: Bench, scenario: Scenario, budget: float, seed: int, *, with_agent: bool) -> Trial:
    """The trial of that seed."""
    chance = random.Random(seed)  # noqa: S311  # an experiment, no secret
    hold = round(1.5 * budget + HOLD + chance.uniform(0, 0.3), 3)
    name = f"{seed}-{'with' if with_agent else 'without'}"
    beside_it = await agent(bench.url, bench.folder / name, name, budget, **bench.environment) if with_agent else None
    async with await psycopg.AsyncConnection.connect(bench.traffic.url, autocommit=True) as side:
        pids = [int(row[0]) for row in await (await side.execute(_AGENTS)).fetchall()] if with_agent else []
        at_first = sum(map(processor_seconds, pids))
        bench.traffic.forget()
        await asyncio.sleep(QUIET + chance.uniform(0, 0.1))
        begun, used = time.monotonic(), sum(map(processor_seconds, pids))
        commands = tuple(command.replace("{hold}", str(hold)) for command in scenario.commands)
        migrated = await _migrate(bench, scenario, Setting(bench.traffic.url, hold, chance), name, commands)
        ended = time.monotonic()
        await bench.traffic.all_begun_after(ended)
        await asyncio.sleep(QUIET)
        felt = bench.traffic.felt(begun, ended)
        spent = sum(map(processor_seconds, pids)) - used
        seconds = time.monotonic() - begun
        left = await beside_it.end() if beside_it else None
        for statement in scenario.undo:
            await side.execute(statement.encode())
    return Trial(scenario, budget, seed, felt, migrated, left, seconds, spent, used - at_first)


async def _migrate(
    bench: Bench, scenario: Scenario, setting: Setting, name: str, commands: tuple[str, ...]
) -> Migrated:
    """The migration, after the application's own session had a head start; both have ended when it returns."""
    beside = asyncio.ensure_future(scenario.beside(setting)) if scenario.beside else None
    if beside:
        await asyncio.sleep(HEAD_START)
    migrated = await migration(bench.psql, bench.url, name, commands)
    if beside:
        await beside
    return migrated
