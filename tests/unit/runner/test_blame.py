"""Who waits because of whom."""

from hypothesis import given
from hypothesis import strategies as st

from locktender.runner.agent.blame import CONFLICTS, Picture, picture
from locktender.runner.agent.waits import Lock

OURS, AGENT, READER, WRITER, REPORT, OTHER = 1, 9, 10, 11, 12, 13
ORDERS = 16384
GRANTED, WAITING = True, False


def holds(pid: int, mode: str, relation: int = ORDERS) -> Lock:
    return Lock(pid, mode, GRANTED, "relation", relation, f"relation/{relation}", 0.0, 0.0, f"{pid}/1")


def waits(pid: int, mode: str, seconds: float = 1.0, relation: int = ORDERS) -> Lock:
    return Lock(pid, mode, WAITING, "relation", relation, f"relation/{relation}", 100 - seconds, seconds, f"{pid}/1")


def row_of(pid: int, *, wanted_by: int | None = None) -> Lock:
    """The lock of transaction `pid`: held by it, or wanted by somebody who wants one of its rows."""
    key = f"transactionid/{pid}"
    if wanted_by is None:
        return Lock(pid, "Exclusive", GRANTED, "transactionid", None, key, 0.0, 0.0, f"{pid}/1")
    return Lock(wanted_by, "Share", WAITING, "transactionid", None, key, 99.0, 1.0, f"{wanted_by}/1")


def seen(*locks: Lock, leaders: dict[int, int] | None = None) -> Picture:
    return picture(locks, {OURS, OURS + 1}, leaders or {}, {AGENT})


def blamed(found: Picture) -> dict[int, set[int]]:
    return {each.wait.pid: set(each.behind) for each in found.blamed}


def test_the_table_of_conflicts_is_symmetric() -> None:
    assert all((other in CONFLICTS[mode]) == (mode in CONFLICTS[other]) for mode in CONFLICTS for other in CONFLICTS)
    assert CONFLICTS["AccessShare"] == {"AccessExclusive"}
    assert CONFLICTS["RowExclusive"] == {"Share", "ShareRowExclusive", "Exclusive", "AccessExclusive"}


def test_a_reader_behind_our_lock_is_ours() -> None:
    assert blamed(seen(holds(OURS, "AccessExclusive"), waits(READER, "AccessShare"))) == {READER: {OURS}}


def test_a_reader_queued_behind_our_waiting_alter_is_ours() -> None:
    found = seen(
        holds(REPORT, "AccessShare"), waits(OURS, "AccessExclusive", seconds=3), waits(READER, "AccessShare", seconds=2)
    )
    assert blamed(found) == {READER: {OURS}}
    assert [(wait.pid, wait.blockers) for wait in found.own] == [(OURS, {REPORT})]


def test_who_came_before_us_in_the_queue_does_not_wait_for_us() -> None:
    found = seen(
        holds(REPORT, "AccessShare"), waits(OTHER, "AccessExclusive", seconds=3), waits(OURS, "AccessShare", seconds=2)
    )
    assert blamed(found) == {}
    assert [wait.pid for wait in found.elsewhere] == [OTHER]


def test_a_lock_that_does_not_conflict_keeps_nobody_waiting() -> None:
    found = seen(holds(OURS, "ShareUpdateExclusive"), holds(REPORT, "Share"), waits(WRITER, "RowExclusive"))
    assert blamed(found) == {}


def test_who_waits_for_one_that_waits_for_us_waits_for_us() -> None:
    found = seen(
        holds(OURS, "AccessExclusive"), waits(WRITER, "RowExclusive"), row_of(WRITER), row_of(WRITER, wanted_by=READER)
    )
    assert blamed(found) == {WRITER: {OURS}, READER: {OURS}}


def test_who_would_wait_without_us_as_well_is_not_ours() -> None:
    found = seen(
        holds(REPORT, "AccessExclusive"),
        waits(OURS, "AccessExclusive", seconds=3),
        waits(READER, "AccessShare", seconds=2),
    )
    assert blamed(found) == {}
    assert [wait.pid for wait in found.elsewhere] == [READER]


def test_two_sessions_of_ours_in_the_way_are_both_named() -> None:
    found = seen(holds(OURS, "Share"), holds(OURS + 1, "Share"), waits(WRITER, "RowExclusive"))
    assert blamed(found) == {WRITER: {OURS, OURS + 1}}


def test_one_of_ours_behind_another_of_ours_is_our_own_wait() -> None:
    found = seen(holds(OURS, "AccessExclusive"), waits(OURS + 1, "AccessExclusive"))
    assert blamed(found) == {}
    assert [wait.pid for wait in found.own] == [OURS + 1]


def test_the_agent_itself_is_nobody_who_waits() -> None:
    assert seen(holds(OURS, "AccessExclusive"), waits(AGENT, "AccessShare")) == Picture((), (), ())


def test_a_parallel_worker_counts_as_its_leader() -> None:
    found = seen(holds(31, "AccessShare"), waits(OURS, "AccessExclusive"), leaders={31: REPORT})
    assert [wait.blockers for wait in found.own] == [{REPORT}]


def test_a_second_migrator_that_waits_for_the_first_ones_advisory_lock_is_no_harm() -> None:
    key = "advisory/1/2"
    found = seen(
        Lock(OURS, "Exclusive", GRANTED, "advisory", None, key, 0.0, 0.0, "1/1"),
        Lock(OTHER, "Exclusive", WAITING, "advisory", None, key, 98.0, 2.0, "13/1"),
    )
    assert (blamed(found), [wait.pid for wait in found.elsewhere]) == ({}, [OTHER])


def test_a_prepared_transaction_in_our_way_has_its_number() -> None:
    found = seen(
        Lock(0, "AccessExclusive", GRANTED, "relation", ORDERS, f"relation/{ORDERS}", 0.0, 0.0, "2/3"),
        Lock(0, "Exclusive", GRANTED, "transactionid", None, "transactionid/734", 0.0, 0.0, "2/3"),
        waits(OURS, "AccessExclusive"),
    )
    assert [(wait.blockers, wait.prepared) for wait in found.own] == [({0}, {"734"})]


def test_the_table_of_a_row_is_known_from_the_lock_that_the_waiting_session_has_on_it() -> None:
    row = Lock(READER, "Exclusive", GRANTED, "tuple", ORDERS, f"tuple/{ORDERS}/0/1", 0.0, 0.0, "10/1")
    found = seen(row_of(OURS), row_of(OURS, wanted_by=READER), row)
    assert [each.wait.relation for each in found.blamed] == [ORDERS]


def test_a_thousand_waiters_for_one_row_are_all_ours() -> None:
    found = seen(
        row_of(OURS),
        *(waits(pid, "AccessExclusive", pid / 1000) for pid in range(100, 1100)),
        holds(OURS, "AccessShare"),
    )
    assert len(found.blamed) == 1000


MODES = st.sampled_from(sorted(CONFLICTS))
LOCKS = st.lists(
    st.builds(
        lambda pid, mode, relation, granted: (holds if granted else waits)(pid, mode, relation=relation),
        st.integers(1, 6), MODES, st.integers(1, 3), st.booleans(),
    ),
    max_size=12,
)  # fmt: skip


@given(LOCKS)
def test_nobody_is_blamed_who_would_still_wait_without_us(locks: list[Lock]) -> None:
    """Whoever is blamed on us is blocked by nobody that runs once our locks are taken away."""
    found = seen(*locks)
    without = picture([lock for lock in locks if lock.pid not in (OURS, OURS + 1)], {OURS, OURS + 1}, {}, {AGENT})
    waiting = {wait.pid for wait in without.elsewhere}
    runs = {lock.pid for lock in locks} - waiting
    for each in found.blamed:
        rest = [wait for wait in without.elsewhere if wait.pid == each.wait.pid]
        assert not any(wait.blockers & runs for wait in rest)
