"""Who waits because of whom: pure, from the rows of one look.

reader --queues behind--> our ALTER --blocked by--> a long transaction        the reader waits because of us
reader --blocked by--> another's ALTER, and in the queue behind ours too      not because of us: without us it would still wait
reader --blocked by--> a writer --blocked by--> our ALTER                     because of us, through another
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from locktender.runner.agent.waits import Lock

# Table 13.2 of PostgreSQL's documentation; every kind of heavyweight lock uses it.
_ORDER = (
    "AccessShare", "RowShare", "RowExclusive", "ShareUpdateExclusive", "Share", "ShareRowExclusive", "Exclusive", "AccessExclusive",
)  # fmt: skip
_TABLE = {
    "AccessShare": "00000001", "RowShare": "00000011", "RowExclusive": "00001111", "ShareUpdateExclusive": "00011111",
    "Share": "00110111", "ShareRowExclusive": "00111111", "Exclusive": "01111111", "AccessExclusive": "11111111",
}  # fmt: skip
CONFLICTS = {
    mode: frozenset(other for other, bit in zip(_ORDER, bits, strict=True) if bit == "1")
    for mode, bits in _TABLE.items()
}


@dataclass(frozen=True)
class Wait:
    """A session waits for one lock. `pid` and `began` name the wait. `relation` is known for most; `blockers` are direct.

    `prepared` are the numbers of prepared transactions among them; in `blockers` each of these is 0.
    """

    pid: int
    began: float
    seconds: float
    mode: str
    locktype: str
    relation: int | None
    blockers: frozenset[int]
    prepared: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Blamed:
    """Another session's wait, and the migration's sessions that it waits for."""

    wait: Wait
    behind: frozenset[int]


@dataclass(frozen=True)
class Picture:
    """One look: others' waits because of the migration, others' other waits, and its own."""

    blamed: tuple[Blamed, ...]
    elsewhere: tuple[Wait, ...]
    own: tuple[Wait, ...]


def picture(
    locks: Iterable[Lock], ours: Iterable[int], leaders: Mapping[int, int], ignored: Iterable[int] = ()
) -> Picture:
    """`leaders` maps a parallel worker to its leader; `ignored` are sessions whose waiting hurts nobody (autovacuum, the agent)."""
    mine, skipped = frozenset(ours), frozenset(ignored)
    waits = _waits(list(locks), leaders)
    graph: dict[int, frozenset[int]] = {}
    for wait in waits:
        graph[wait.pid] = graph.get(wait.pid, frozenset()) | wait.blockers
    stuck = _stuck(graph, mine)
    blamed, elsewhere, own = [], [], []
    for wait in waits:
        if wait.pid in mine:
            own.append(wait)
        elif wait.pid not in skipped:
            behind = _reach(wait.pid, graph, mine)
            # An advisory lock is a meeting that applications arrange themselves: a second migrator that waits for its turn.
            if behind and wait.pid not in stuck and wait.locktype != "advisory":
                blamed.append(Blamed(wait, behind))
            else:
                elsewhere.append(wait)
    return Picture(tuple(blamed), tuple(elsewhere), tuple(own))


def _waits(locks: list[Lock], leaders: Mapping[int, int]) -> list[Wait]:
    granted: dict[str, list[Lock]] = {}
    queues: dict[str, list[Lock]] = {}
    rows: dict[int, int | None] = {}
    numbers: dict[str, str] = {}  # of prepared transactions, by what their locks have in common
    for lock in locks:
        (granted if lock.granted else queues).setdefault(lock.key, []).append(lock)
        if (
            lock.locktype == "tuple"
        ):  # who waits for a row's transaction has locked the row first: so its table is known
            rows[lock.pid] = lock.relation
        if lock.pid == 0 and lock.locktype == "transactionid":
            numbers[lock.transaction] = lock.key.rpartition("/")[2]
    found = []
    for key, queue in queues.items():
        # Without a time the wait has only just begun: it stands at the end.
        queue.sort(key=lambda lock: (lock.began == 0.0, lock.began))
        ahead: dict[str, list[int]] = {}
        for lock in queue:
            me = leaders.get(lock.pid, lock.pid)
            hard = [each for each in granted.get(key, ()) if each.mode in CONFLICTS[lock.mode]]
            pids = {leaders.get(each.pid, each.pid) for each in hard}
            for mode in CONFLICTS[lock.mode] & ahead.keys():
                # In a mode that conflicts with itself the last one already waits for all before it.
                pids.update(ahead[mode][-1:] if mode in CONFLICTS[mode] else ahead[mode])
            relation = lock.relation if lock.relation is not None else rows.get(lock.pid)
            prepared = frozenset(numbers.get(each.transaction, "") for each in hard if each.pid == 0)
            blockers = frozenset(pids - {me})
            found.append(Wait(me, lock.began, lock.seconds, lock.mode, lock.locktype, relation, blockers, prepared))
            ahead.setdefault(lock.mode, []).append(me)
    return found


def _reach(start: int, graph: Mapping[int, frozenset[int]], ours: frozenset[int]) -> frozenset[int]:
    """The first of ours on every path of blockers."""
    seen, found, todo = {start}, set(), [start]
    while todo:
        for blocker in graph.get(todo.pop(), ()):
            if blocker in ours:
                found.add(blocker)
            elif blocker not in seen:
                seen.add(blocker)
                todo.append(blocker)
    return frozenset(found)


def _stuck(graph: Mapping[int, frozenset[int]], ours: frozenset[int]) -> frozenset[int]:
    """Those who would still wait if the migration's sessions were gone: somebody else who waits for nobody is in their way."""
    behind: dict[int, list[int]] = {}
    for waiting, blockers in graph.items():
        for blocker in blockers - ours:
            behind.setdefault(blocker, []).append(waiting)
    found: set[int] = set()
    todo = [blocker for blocker in behind if blocker not in graph]
    while todo:
        for waiting in behind.get(todo.pop(), ()):
            if waiting not in found:
                found.add(waiting)
                todo.append(waiting)
    return frozenset(found)
