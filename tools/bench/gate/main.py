"""The bench from the first line to the last: tries in turns, admission in between, a table, a JSON file, and a trace when asked for."""

import os
import platform
import sys
import time
from pathlib import Path
from statistics import median

from tools.bench import numbers
from tools.bench.gate import admission, scene
from tools.bench.gate.admission import Admission
from tools.bench.gate.scene import Scene
from tools.bench.gate.trace import Tracer, Traces
from tools.bench.gate.tries import Tries, Try
from tools.bench.report import FOLDER, Aim, Result
from tools.cluster.progress import Progress
from tools.cluster.settings import Settings
from tools.demo import stage
from tools.demo.stage import Stage

TRIES = 30
AIMS = (
    Aim("noop_ratio", 0.65),
    Aim("with_backup_p50_s", 5.0),
    Aim("verdict_to_release_p99_ms", 300.0),
    Aim("admission_added_p99_ms", 10.0),
)
CALM_SECONDS = 3.0  # how long the machine is watched before the first try


def run(tries: int, *, check: bool, with_trace: bool, folder: Path = FOLDER) -> int:
    """0, or 1 when an aim was missed and that matters. Results go to `folder`."""
    progress = Progress()
    where = stage.cluster(progress)
    scene.require_tools(where)
    key = stage.project(progress)
    scene.deliver_images(progress)
    progress.say("installing the chart of the working tree")
    try:
        stage.install(where, key, f"logLevel={'DEBUG' if with_trace else 'INFO'}")
        result, told = _in_scene(where, tries, progress, with_trace=with_trace)
    finally:
        if with_trace:
            stage.install(where, key)
    file = result.write(folder)
    if told is not None:
        told.write(folder)
    _tell(result, file, told)
    return 1 if check and result.missed() else 0


def _in_scene(where: Stage, tries: int, progress: Progress, *, with_trace: bool) -> tuple[Result, Traces | None]:
    """Everything that is measured, in a namespace of its own that goes when it is done."""
    progress.say("making a namespace with PostgreSQL, a database, and four Deployments")
    with scene.open_scene(where) as opened:
        database = scene.furnish(opened)
        busy = scene.machine_is_calm(CALM_SECONDS)
        conditions = {**_conditions(opened, database, busy), "tries": tries}
        begun = time.monotonic()
        tracer = Tracer(opened) if with_trace else None
        measured, asked = _measure(opened, tries, progress, tracer)
        conditions |= {"seconds": round(time.monotonic() - begun), **_about(asked)}
        told = tracer.traces(measured) if tracer else None
    return Result("gate", conditions, _rows(measured, asked), AIMS), told


def _tell(result: Result, file: Path, told: Traces | None) -> None:
    rows = result.rows
    compared = {"plain rollout": rows["plain_rollout_p50_s"], "Helm hook": rows["helm_hook_p50_s"]}
    result.tell(print, compared)
    print(f"\n  written to {_shown(file)}")
    if told is not None:
        beside = _shown(file.with_name("gate-trace.md"))
        print(f"\nWhere the time of the median release went (also in {beside})\n\n{told.text}")
    for aim in result.missed():
        print(f"  missed: {aim.row} is {rows[aim.row]:.3f}, the aim is at most {aim.most:g}", file=sys.stderr)


def _measure(opened: Scene, tries: int, progress: Progress, tracer: Tracer | None) -> tuple[list[Try], Admission]:
    """Every round makes one try of each variant, each time in another order, so that what the machine does else hits all alike."""
    made: list[Try] = []
    maker = Tries(opened)
    variants = (maker.plain, maker.bare_job, maker.noop, maker.helm_hook, maker.with_backup)
    asked = Admission()
    for number in range(tries):
        for step in range(len(variants)):
            made.append(variants[(step + number) % len(variants)]())
            if tracer:
                tracer.keep(made[-1])
            opened.wait_quiet()
            opened.put_away()
        told = ", ".join(f"{one.variant} {one.seconds:.2f} s" for one in made[-len(variants) :])
        progress.say(f"round {number + 1} of {tries}: {told}")
        admission.measure(opened.api, asked)
        progress.say(
            f"admission: {len(asked.gated)} requests of each kind, {asked.added(0.5):.1f} ms added so far (p50)"
        )
    return made, asked


def _rows(measured: list[Try], asked: Admission) -> dict[str, float]:
    def seconds(variant: str) -> list[float]:
        return [made.seconds for made in measured if made.variant == variant]

    plain, bare, noop = (median(seconds(name)) for name in ("plain_rollout", "bare_job", "noop"))
    opened = [made.verdict_to_release for made in measured if made.verdict_to_release is not None]
    rows = {
        "plain_rollout_p50_s": plain,
        "bare_job_p50_s": bare,
        "noop_p50_s": noop,
        "noop_max_s": max(seconds("noop")),
        "noop_ratio": noop / (plain + bare),
        "helm_hook_p50_s": median(seconds("helm_hook")),
        "with_backup_p50_s": median(seconds("with_backup")),
        **asked.rows(),
        "verdict_to_release_p99_ms": 1000 * numbers.percentile(opened, 0.99),
    }
    return {name: round(value, 3) for name, value in rows.items()}


def _about(asked: Admission) -> dict[str, str]:
    return {
        **asked.conditions(),
        "verdict_to_release": "pod status with exit code 0 seen -> Deployment without pause seen, all gated tries",
        "percentiles": "p50 of seconds: median; p99: nearest rank",
    }


def _conditions(opened: Scene, database: str, busy: float) -> dict[str, object]:
    """Under which the numbers hold."""
    settings = Settings.from_environment()
    version = opened.api.call("GET", "/version")["gitVersion"]
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "kubernetes": version,
        "node": "kind or a given cluster"
        if not (settings.state / "node.json").is_file()
        else "one, made by tools/cluster",
        "processors": os.cpu_count() or 0,
        "memory_gib": round(int(memory.split()[1]) / 1024 / 1024),
        "kernel": platform.release(),
        "load_before": f"{os.getloadavg()[0]:.2f}",
        "busy_before_percent": round(100 * busy),
        "helm": opened.stage.run("helm", "version", "--short").stdout.strip(),
        "database": database,
        "migration": "Command: true, in the application's image; one replica; images present",
    }


def _shown(file: Path) -> str:
    return str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
