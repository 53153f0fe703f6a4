"""The behaviour table, row by row, on a real API server with its controllers, for each carrier of the gate."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.apiserver.gate import stages
from tests.apiserver.gate.people import Person
from tests.apiserver.gate.row import Row
from tests.apiserver.gate.scene import Stage
from tests.apiserver.gate.table import TABLE

pytestmark = pytest.mark.apiserver

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


def test_no_two_rows_say_the_same() -> None:
    counted = Counter(_name(*case) for case in CASES)
    assert [name for name, times in counted.items() if times > 1] == []
