"""What the migration has cost others so far: each wait from its beginning to its end, the worst, the sum, the longest queue.

    look: blamed? --first seen--> open --still there--> open --gone--> ended, told once

A wait that began behind somebody else and is the migration's only since then is charged from then on. A wait ends between two
looks; the middle is taken.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from locktender.runner.agent.blame import Blamed, Picture, Wait
from locktender.runner.agent.sessions import Session

Key = tuple[int, float]


@dataclass(frozen=True)
class Charge:
    """Another session's wait. `start` and `seconds` as charged; `who` waits; `statement` is what the migration ran."""

    start: float
    seconds: float
    wait: Wait
    behind: frozenset[int]
    who: Session | None = None
    holder: Session | None = None


@dataclass(frozen=True)
class Own:
    """The migration's own wait for one lock, and the sessions in its way when last seen."""

    start: float
    seconds: float
    wait: Wait
    who: Session | None = None
    blockers: tuple[Session, ...] = ()


class Account:
    """Everything seen so far. Times are seconds since the fence was held."""

    def __init__(self) -> None:
        self.charges: dict[Key, Charge] = {}
        self.own: dict[Key, Own] = {}
        self.worst: Charge | None = None
        self.own_worst: Own | None = None
        self.waits = self.queue = 0
        self._ended_seconds = 0.0
        self._free: dict[Key, float] = {}  # others' waits that are not the migration's, and their seconds until now
        self._at = 0.0

    @property
    def blocked_seconds(self) -> float:
        """The sum over all waits, those that go on included."""
        return self._ended_seconds + sum(charge.seconds for charge in self.charges.values())

    @property
    def longest(self) -> float:
        """Of the waits that go on, in seconds."""
        return max((charge.seconds for charge in self.charges.values()), default=0.0)

    @property
    def worst_wait(self) -> float:
        """The longest single wait so far, in seconds."""
        return self.worst.seconds if self.worst else 0.0

    def see(self, at: float, picture: Picture, sessions: Mapping[int, Session]) -> tuple[list[Charge], list[Own]]:
        """Take one look in; the waits that have ended since the last one. `sessions` tell who is who."""
        half = max(at - self._at, 0.0) / 2
        self._at = at
        now = {_key(blamed.wait): self._charge(at, blamed, sessions) for blamed in picture.blamed}
        ended = [
            replace(charge, seconds=charge.seconds + half) for key, charge in self.charges.items() if key not in now
        ]
        self.waits += len(now.keys() - self.charges.keys())
        self.charges = now
        self._free = {_key(wait): wait.seconds for wait in picture.elsewhere}
        self.queue = max(self.queue, len(now))
        self._ended_seconds += sum(charge.seconds for charge in ended)
        for charge in (*ended, *now.values()):
            if self.worst is None or charge.seconds > self.worst.seconds:
                self.worst = charge
        return ended, self._see_own(at, half, picture.own, sessions)

    def finish(self, at: float) -> tuple[list[Charge], list[Own]]:
        """Nobody looks any more: whatever goes on is told as it is."""
        return self.see(at, Picture((), (), ()), {})

    def _see_own(self, at: float, half: float, waits: Iterable[Wait], sessions: Mapping[int, Session]) -> list[Own]:
        now = {}
        for wait in waits:
            known = self.own.get(_key(wait))
            blockers = tuple(sessions[pid] for pid in sorted(wait.blockers) if pid in sessions)
            who = sessions.get(wait.pid) or (known.who if known else None)
            start = known.start if known else at - wait.seconds
            now[_key(wait)] = Own(start, wait.seconds, wait, who, blockers or (known.blockers if known else ()))
        ended = [replace(own, seconds=own.seconds + half) for key, own in self.own.items() if key not in now]
        self.own = now
        for own in (*ended, *now.values()):
            if self.own_worst is None or own.seconds > self.own_worst.seconds:
                self.own_worst = own
        return ended

    def _charge(self, at: float, blamed: Blamed, sessions: Mapping[int, Session]) -> Charge:
        key = _key(blamed.wait)
        known = self.charges.get(key)
        start = known.start if known else at - blamed.wait.seconds + self._free.get(key, 0.0)
        who, holder = sessions.get(blamed.wait.pid), sessions.get(min(blamed.behind))
        if known and known.who and (known.who.query or not (who and who.query)):
            who = known.who
        return Charge(
            start, max(at - start, 0.0), blamed.wait, blamed.behind, who, holder or (known.holder if known else None)
        )


def _key(wait: Wait) -> Key:
    return wait.pid, wait.began
