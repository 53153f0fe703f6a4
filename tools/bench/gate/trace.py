"""Where the time of one release went: every moment between the patch and the new container, and who brought it about.

watches at the API   what became visible, and when        containerd's log   when sandboxes and containers really started and ended
agent's log          when the fence was held              operator's log     its looks and passes (log level DEBUG)

The time up to a moment counts for the one who brought it about; things that go on side by side are told in the order in which they ended.
What the operator's own log tells stands in brackets, and counts for nobody.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median_low
from typing import Any

from tools.bench.gate import containerd, manifests
from tools.bench.gate.manifests import NAMESPACE
from tools.bench.gate.scene import Scene
from tools.bench.gate.sightings import Moment, Sightings, release_of
from tools.bench.gate.tries import Try
from tools.cluster.settings import Settings
from tools.demo.stage import SYSTEM
from tools.kube import facts

NAMES = {
    "noop": (manifests.GATED, manifests.EMPTY),
    "with_backup": (manifests.GATED_WITH_BACKUP, manifests.REALISTIC),
}
_OPERATOR = re.compile(r"^\S+ (?P<time>\S+Z) \S+ \S+ DEBUG locktender\.reconciler (?P<key>\S+): (?P<words>.*)$")


@dataclass(frozen=True)
class Traces:
    """What was found: for programs, and as Markdown for people."""

    found: dict[str, Any]
    text: str

    def write(self, folder: Path) -> None:
        """Write gate-trace.json and gate-trace.md."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "gate-trace.json").write_text(json.dumps(self.found, indent=1) + "\n")
        (folder / "gate-trace.md").write_text(self.text)


@dataclass
class Tracer:
    """Keeps what would be gone by the time that the median try is known."""

    scene: Scene
    agents: dict[str, str] = field(default_factory=dict)

    def keep(self, made: Try) -> None:
        """The agent's log of a try that has just been made."""
        for event in self.scene.recorder.seen[made.position :]:
            if event.kind == "pods" and facts.step(event.object) == "migrate" and event.name not in self.agents:
                command = ("-n", NAMESPACE, "logs", event.name, "-c", "agent", "--timestamps")
                self.agents[event.name] = self.scene.stage.run_unchecked("kubectl", *command).stdout

    def traces(self, tries: list[Try]) -> Traces:
        """The traces of the median try of each gated variant."""
        operator = self.scene.stage.run_unchecked(
            "kubectl", "-n", SYSTEM, "logs", "deployment/locktender", "--all-pods=true", "--prefix", "--timestamps"
        ).stdout
        found: dict[str, Any] = {}
        text = []
        for variant in NAMES:
            own = [made for made in tries if made.variant == variant]
            middle = median_low(made.seconds for made in own)
            chosen = next(made for made in own if made.seconds == middle)
            moments = self._moments(chosen, operator)
            found[variant] = {
                "seconds": round(chosen.seconds, 3),
                "shares_ms": {by: round(1000 * share) for by, share in shares(moments).items()},
                "moments": [{"ms": round(1000 * one.at), "by": one.by, "what": one.what} for one in moments],
            }
            text.append(markdown(variant, chosen.seconds, moments))
        return Traces(found, "\n".join(text))

    def _moments(self, made: Try, operator: str) -> list[Moment]:
        seen = self.scene.recorder.seen[made.position :]
        name, migration = NAMES[made.variant]
        clock = time.time() - time.monotonic()  # from this process's clock to that of the logs
        moments = Sightings(seen, name, migration, made.release).moments()
        log = Settings.from_environment().state / "logs" / "containerd.log"
        for pod in {event.name: event.object for event in seen if event.kind == "pods"}.values():
            step, title = facts.step(pod), pod["metadata"]["name"]
            if step or release_of(pod) == made.release:
                marks = containerd.marks(log, title)
                moments += [
                    Moment(one.at - clock, "containerd", f"{step or 'new version'}: {one.what}") for one in marks
                ]
            moments += [Moment(at - clock, "agent", "the fence is held") for at in _held(self.agents.get(title, ""))]
        told = _passes(operator, f"{NAMESPACE}/{migration}")
        moments += [Moment(at - clock, "operator", words, aside=True) for at, words in told]
        inside = [one for one in moments if made.begun <= one.at <= made.ended]
        return sorted((replace(one, at=one.at - made.begun) for one in inside), key=lambda one: one.at)


def _held(log: str) -> Iterator[float]:
    for line in log.splitlines():
        at, _, words = line.partition(" ")
        if '"kind": "held"' in words:
            yield containerd.timestamp(at)


def _passes(log: str, key: str) -> Iterator[tuple[float, str]]:
    for line in log.splitlines():
        found = _OPERATOR.match(line)
        if found and found["key"] == key:
            yield containerd.timestamp(found["time"]), found["words"]


def _with_time(moments: Iterable[Moment]) -> Iterator[tuple[Moment, float]]:
    """Each moment that brought something about, with the seconds since the one before it."""
    before = 0.0
    for moment in moments:
        if not moment.aside:
            yield moment, moment.at - before
            before = moment.at


def shares(moments: Iterable[Moment]) -> dict[str, float]:
    """Seconds by who brought the next moment about, the largest first."""
    found: dict[str, float] = {}
    for moment, took in _with_time(moments):
        found[moment.by] = found.get(moment.by, 0.0) + took
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def markdown(variant: str, seconds: float, moments: list[Moment]) -> str:
    """A table of the moments and one of the shares."""
    took = dict(_with_time(moments))
    lines = [f"### {variant}: {1000 * seconds:.0f} ms", "", "| at, ms | took | by | what |", "|---:|---:|---|---|"]
    for moment in moments:
        what, spent = (f"({moment.what})", "") if moment.aside else (moment.what, f"{1000 * took[moment]:.0f}")
        lines.append(f"| {1000 * moment.at:.0f} | {spent} | {moment.by} | {what} |")
    lines += ["", "| by | ms |", "|---|---:|"]
    lines += [f"| {by} | {1000 * share:.0f} |" for by, share in shares(moments).items()]
    return "\n".join((*lines, ""))
