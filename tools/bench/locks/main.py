"""The bench from the first line to the last: a server, a shop with traffic, trials in a seeded order, a table, a JSON file."""

import asyncio
import gc
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.bench.locks import scenarios, shop
from tools.bench.locks.table import table
from tools.bench.locks.traffic import CONTROLS, READERS, THINK, WRITERS, traffic
from tools.bench.locks.trials import Bench, Trial
from tools.bench.locks.trials import run as run_trial
from tools.bench.report import FOLDER, Aim, Result
from tools.cluster.postgres_binaries import WHEELS
from tools.cluster.postgres_server import NO_DISK, Server, serving
from tools.cluster.progress import Progress

TRIES = 100
MAJOR = 18
ORDERS = 2_000_000  # rows: every scenario then takes longer than both budgets when nothing stops it
DEFAULT_BUDGET, SHORT_BUDGET = (
    2.0,
    0.5,
)  # seconds: the default of spec.locks.budget, and one that lets many trials be made
EVERY = 7  # rounds: the first of each seven uses the default budget
COMPARED = 2  # rounds of each budget in which each trial is repeated without the agent
ALLOWED = 100.0  # milliseconds a stall may go beyond the budget
SETTINGS = {**NO_DISK, "shared_buffers": "256MB", "max_wal_size": "4GB", "autovacuum": "off"}
HBA = "local all all trust\nhost all all 127.0.0.1/32 trust\n"
AIMS = (Aim("trials_beyond_aim", 0), Aim("worst_beyond_budget_ms", ALLOWED), Aim("agent_server_cpu_percent", 1.0))


def run(tries: int, *, check: bool, major: int = MAJOR, folder: Path = FOLDER) -> int:
    """0, or 1 when an aim was missed and that matters. Results go to `folder`."""
    progress = Progress()
    begun = time.monotonic()
    load = f"{os.getloadavg()[0]:.2f}"
    progress.say(f"starting PostgreSQL {WHEELS[major].version}")
    with serving(major, Server, SETTINGS, HBA) as server, tempfile.TemporaryDirectory() as scratch:
        progress.say(f"filling the shop: {ORDERS:,} orders")
        size = shop.build(server.url(), ORDERS)
        trials = asyncio.run(_trials(server, Path(scratch), tries, progress))
    conditions = _conditions(major, size, load) | {"seconds": round(time.monotonic() - begun)}
    result = Result("locks", conditions, rows(trials), AIMS)
    file = result.write(folder)
    print()
    for line in table(trials):
        print(f"  {line}")
    result.tell(print, {})
    print(f"\n  written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")
    for aim in result.missed():
        print(f"  missed: {aim.row} is {result.rows[aim.row]:.3f}, the aim is at most {aim.most:g}", file=sys.stderr)
    return 1 if check and result.missed() else 0


async def _trials(server: Server, scratch: Path, tries: int, progress: Progress) -> list[Trial]:
    """Rounds of every scenario, each round in another order, until `tries` trials with the agent are made."""
    made: list[Trial] = []
    at_socket = f"postgresql://postgres@/postgres?host={server.folder}&port={server.port}"
    async with traffic(at_socket, ORDERS, seed=1) as running:
        bench = Bench(server.url(), server.binaries / "bin" / "psql", scratch, running, {})
        gc.disable()  # a collection would be felt as a stall
        for number, (scenario, budget, compared) in enumerate(plan(tries), 1):
            with_it = await run_trial(bench, scenario, budget, number, with_agent=True)
            made.append(with_it)
            told = f"{1000 * with_it.felt.stall:.0f} ms of {1000 * budget:.0f}, {with_it.migrated.outcome}"
            if compared:
                without = await run_trial(bench, scenario, budget, number, with_agent=False)
                made.append(without)
                told += f"; without the agent {1000 * without.felt.stall:.0f} ms"
            progress.say(f"{number} of {tries}: {scenario.name}: {told}")
            gc.collect()
    return made


def plan(tries: int) -> list[tuple[scenarios.Scenario, float, bool]]:
    """Scenario, budget, and whether it is repeated without the agent, for each try."""
    planned: list[tuple[scenarios.Scenario, float, bool]] = []
    rounds = {DEFAULT_BUDGET: 0, SHORT_BUDGET: 0}
    while len(planned) < tries:
        number = sum(rounds.values())
        budget = DEFAULT_BUDGET if number % EVERY == 0 else SHORT_BUDGET
        order = random.Random(number).sample(scenarios.ALL, len(scenarios.ALL))  # noqa: S311  # an order, no secret
        planned += [(scenario, budget, rounds[budget] < COMPARED) for scenario in order]
        rounds[budget] += 1
    return planned[:tries]


def rows(trials: Sequence[Trial]) -> dict[str, float]:
    """The rows of the JSON file."""

    def worst(budget: float, *, with_agent: bool) -> float:
        chosen = [one for one in trials if one.budget == budget and (one.ended is not None) is with_agent]
        return 1000 * max((one.felt.stall for one in chosen), default=0.0)

    with_it = [one for one in trials if one.ended is not None]
    found = {
        "trials": len(with_it),
        "trials_beyond_aim": sum(1000 * one.beyond > ALLOWED for one in with_it),
        "worst_beyond_budget_ms": 1000 * max(one.beyond for one in with_it),
        "budget_ms": 1000 * SHORT_BUDGET,
        "worst_stall_ms": worst(SHORT_BUDGET, with_agent=True),
        "worst_stall_without_agent_ms": worst(SHORT_BUDGET, with_agent=False),
        "default_budget_ms": 1000 * DEFAULT_BUDGET,
        "default_worst_stall_ms": worst(DEFAULT_BUDGET, with_agent=True),
        "default_without_agent_ms": worst(DEFAULT_BUDGET, with_agent=False),
        "floor_ms": 1000 * max(one.felt.floor for one in trials),
        "agent_server_cpu_percent": 100 * sum(one.cpu_seconds for one in with_it) / sum(one.seconds for one in with_it),
        "agent_server_start_cpu_ms": 1000 * sum(one.start_cpu_seconds for one in with_it) / len(with_it),
    }
    return {name: round(value, 3) for name, value in found.items()}


def _conditions(major: int, size: int, load: str) -> dict[str, object]:
    return {
        "server": f"PostgreSQL {WHEELS[major].version}, fsync off, shared_buffers 256 MB, {size // 1024 // 1024} MiB of data",
        "orders": ORDERS,
        "clients": f"{READERS} readers, {WRITERS} writers, {CONTROLS} controls, {1000 * THINK:.0f} ms between statements",
        "migration": "psql, PGAPPNAME=locktender/RUN, no time-out of its own",
        "stall": "the longest statement of any reader or writer, on the client's clock",
        "floor": "the longest statement on an untouched table, or the client's own delay",
        "agent_server_cpu": "processor time of the agent's sessions from the migration's start on; start: from the held fence until then",
        "processors": os.cpu_count() or 0,
        "load_before": load,
    }
