"""The behaviour table, row by row, on a real API server with its controllers, for each carrier of the gate."""

import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.apiserver.gate import stages
from tests.apiserver.gate.connection import MERGE
from tests.apiserver.gate.people import Person
from tests.apiserver.gate.row import Row
from tests.apiserver.gate.scene import Scene, Stage
from tests.apiserver.gate.table import TABLE

pytestmark = pytest.mark.apiserver

WORK = {
    "policy": 'apiserver_mutating_admission_policy_check_total{error_type="no_error",policy="gate.locktender.dev"',
    "webhook": 'apiserver_admission_webhook_request_total{code="200",name="gate.locktender.dev"',
}  # counters of the API server: an evaluated mutation, an answered call
CASES = [(row, person) for row in TABLE for person in row.by]


def _name(row: Row, person: Person) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{person.name} {row.does} on {row.on.words}".lower()).strip("-")


@pytest.fixture(scope="module", params=list(stages.CARRIERS))
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    with stages.stage(request.param) as built:
        yield built


@pytest.mark.parametrize(("row", "person"), CASES, ids=[_name(*case) for case in CASES])
def test_gate(row: Row, person: Person, stage: Stage) -> None:
    row.play(stage, person)


def _work(stage: Stage) -> float:
    """How often the carrier was at work since the API server started."""
    lines = stage.kubectl("get", "--raw", "/metrics").splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(WORK[stage.carrier]))


def test_the_carrier_works_once_on_what_it_holds_and_not_on_other_writes(stage: Stage) -> None:
    """The policy's work is to read and write the whole object as JSON; the webhook's is a call."""
    scene = Scene(stage, Person.KUBERNETES)

    def work(write: Callable[[], object]) -> float:
        before = _work(stage)
        write()
        return _work(stage) - before

    def annotates() -> None:
        scene.api("PATCH", scene.path(scene.name), {"metadata": {"annotations": {"note": "seen"}}}, MERGE)

    def scales() -> None:
        scene.api("PATCH", scene.path(scene.name), {"spec": {"replicas": 2}}, MERGE)

    assert [work(write) for write in (scene.create, annotates, scene.let_through, scales)] == [1, 0, 0, 0]
    scene.settle()
    assert [work(write) for write in (scene.change_image, scales, annotates, scene.let_through)] == [1, 0, 0, 0]


def test_no_two_rows_say_the_same() -> None:
    counted = Counter(_name(*case) for case in CASES)
    assert [name for name, times in counted.items() if times > 1] == []
