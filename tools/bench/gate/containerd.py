"""What containerd's log tells of one pod: when its sandbox and its containers were asked for, ready, and over. Times in seconds since 1970."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_LINE = re.compile(r'^time="(?P<time>[^"]+)" level=info msg="(?P<words>.*)"')
_ASKED = re.compile(r'^RunPodSandbox for name:\\"(?P<pod>[^\\]+)\\"')
_SANDBOX = re.compile(r'^RunPodSandbox for name:\\"(?P<pod>[^\\]+)\\".* returns sandbox id \\"(?P<id>\w+)\\"')
_CREATING = re.compile(
    r'^CreateContainer within sandbox \\"(?P<sandbox>\w+)\\" for container name:\\"(?P<name>[^\\]+)\\"'
)
_CREATED = re.compile(
    r'^CreateContainer within sandbox \\"(?P<sandbox>\w+)\\" for name:\\"(?P<name>[^\\]+)\\" returns container id \\"(?P<id>\w+)\\"'
)
_STARTED = re.compile(r'^StartContainer for \\"(?P<id>\w+)\\" returns successfully')
_EXITED = re.compile(
    r'^received container exit event container_id:\\"(?P<id>\w+)\\".* exited_at:\{seconds:(?P<seconds>\d+)(?:\s+nanos:(?P<nanos>\d+))?'
)


@dataclass(frozen=True)
class Mark:
    """Something that happened to a pod."""

    at: float
    what: str


def marks(log: Path, pod: str) -> list[Mark]:
    """The marks of the pod of this name, in order; empty where there is no such log (kind, a given cluster)."""
    return sorted(_marks(log, pod), key=lambda mark: mark.at) if log.is_file() else []


def _marks(log: Path, pod: str) -> Iterator[Mark]:
    sandbox, names = "", dict[str, str]()
    with log.open(errors="replace") as lines:
        for line in lines:
            found = _LINE.match(line)
            if found is None:
                continue
            at, words = _seconds(found["time"]), found["words"]
            if (made := _SANDBOX.match(words)) and made["pod"] == pod:
                sandbox = made["id"]
                yield Mark(at, "sandbox ready: namespaces, network")
            elif (asked := _ASKED.match(words)) and asked["pod"] == pod:
                yield Mark(at, "sandbox asked for")
            elif (creating := _CREATING.match(words)) and creating["sandbox"] == sandbox:
                yield Mark(at, f"container {creating['name']} asked for")
            elif (created := _CREATED.match(words)) and created["sandbox"] == sandbox:
                names[created["id"]] = created["name"]
            elif (started := _STARTED.match(words)) and started["id"] in names:
                yield Mark(at, f"container {names[started['id']]} started")
            elif (exited := _EXITED.match(words)) and exited["id"] in names:
                yield Mark(
                    int(exited["seconds"]) + int(exited["nanos"] or 0) / 1e9, f"container {names[exited['id']]} ended"
                )


def _seconds(text: str) -> float:
    """A timestamp with up to nine digits after the point; Python reads six."""
    head, _, rest = text.partition(".")
    digits = re.match(r"\d*", rest)
    fraction = digits.group() if digits else ""
    return datetime.fromisoformat(f"{head}+00:00").timestamp() + float(f"0.{fraction or '0'}")


def timestamp(text: str) -> float:
    """Seconds since 1970 of a timestamp in UTC, as logs of containers begin with."""
    return _seconds(text.rstrip("Z"))
