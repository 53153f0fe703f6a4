"""How long the migration holds its strong locks on tables that others use: pure, from the rows of the looks."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from locktender.runner.agent.waits import STRONG, Lock

Key = tuple[int, int, str]


@dataclass(frozen=True)
class Hold:
    """A lock in a mode that keeps others out. Times are seconds since the fence was held; its ends lie between two looks."""

    start: float
    seconds: float
    pid: int
    mode: str
    relation: int


class Holds:
    """The strong locks of the migration on relations that existed before it: number `newest` and below."""

    def __init__(self, newest: int) -> None:
        self.current: dict[Key, Hold] = {}
        self.relations: set[int] = set()
        self._newest = newest
        self._at = 0.0

    def see(self, at: float, locks: Iterable[Lock], ours: Iterable[int]) -> list[Hold]:
        """Take one look in; the holds that have ended since the last one."""
        half, self._at = max(at - self._at, 0.0) / 2, at
        mine = set(ours)
        now = {
            (lock.pid, lock.relation, lock.mode)
            for lock in locks
            if lock.granted and lock.locktype == "relation" and lock.pid in mine and lock.mode in STRONG
            and lock.relation is not None and lock.relation <= self._newest
        }  # fmt: skip
        ended = [replace(hold, seconds=hold.seconds + half) for key, hold in self.current.items() if key not in now]
        held = {}
        for pid, relation, mode in now:
            known = self.current.get((pid, relation, mode))
            start = known.start if known else at - half
            held[pid, relation, mode] = Hold(start, at - start, pid, mode, relation)
        self.current = held
        self.relations |= {relation for _, relation, _ in now}
        return sorted(ended, key=lambda hold: hold.start)
