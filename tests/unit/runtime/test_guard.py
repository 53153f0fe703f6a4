"""The guard against a model of the API server: what it writes, what it leaves, and the moments in which an uninstall can come between."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from locktender.core.errors import ApiError
from locktender.kube import paths
from locktender.runtime.guard import Guard
from locktender.settings import GUARD_GRACE, GUARD_INTERVAL, GUARD_RETRY, GuardMode, Settings
from locktender.telemetry.metrics import Metrics
from tests.builders import NOON

HOME, NAME = "locktender-system", "locktender-gate"
CONFIG_MAP = paths.config_maps(HOME, NAME)
POLICY = paths.admission("validatingadmissionpolicies", "gate-backstop.locktender.dev")
SPEC = {"failurePolicy": "Fail", "validations": [{"expression": "true"}]}
Body = dict[str, Any]


class Server:
    """Objects by path. `before` is called ahead of each call: the moment of a race."""

    def __init__(self) -> None:
        self.objects: dict[str, Body] = {}
        self.writes: list[str] = []
        self.events: list[Body] = []
        self.version = 0
        self.before: Callable[[str, str], None] = lambda _method, _where: None
        self.refuses = ""

    async def get(self, where: str) -> Body | None:
        self.before("get", where)
        return copy.deepcopy(self.objects.get(where))

    async def create(self, _: str, body: Body) -> Body:
        if any(known["metadata"]["name"] == body["metadata"]["name"] for known in self.events):
            raise ApiError(409, "AlreadyExists", "exists")
        self.events.append(body)
        return body

    async def replace(self, where: str, body: Body, *, dry_run: bool = False) -> Body:
        self.before("dry-run" if dry_run else "replace", where)
        whole = {**body, "spec": {"matchPolicy": "Equivalent", **body["spec"]}}
        if dry_run:
            return whole
        return self.store(where, whole, "replace")

    async def patch(self, where: str, body: Body, kind: str, manager: str) -> Body:
        self.before(kind, where)
        if self.refuses:
            raise ApiError(403, "Forbidden", self.refuses)
        there = self.objects.get(where, {"metadata": {"uid": f"uid-{self.version}"}, "spec": {}})
        meta = {**there["metadata"], **body["metadata"]}
        spec = {"matchPolicy": "Equivalent", **there["spec"], **body["spec"]}
        return self.store(where, {**body, "metadata": meta, "spec": spec}, f"apply as {manager}")

    async def delete(self, where: str, uid: str | None = None) -> None:
        assert uid == self.objects[where]["metadata"]["uid"]
        del self.objects[where]
        self.writes.append("delete")

    def store(self, where: str, body: Body, deed: str) -> Body:
        if body != self.objects.get(where):
            self.version += 1
            self.writes.append(deed)
            body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
            self.objects[where] = body
        return copy.deepcopy(self.objects[where])

    def install(self, spec: Body | None = None, *, age: float = 3600.0, manager: str = "helm") -> None:
        """The ConfigMap and the policy, as Helm leaves them."""
        self.wish(spec, age=age, manager=manager)
        meta = {
            "name": "gate-backstop.locktender.dev",
            "labels": {"app.kubernetes.io/name": "locktender"},
            "annotations": {"meta.helm.sh/release-name": "locktender"},
            "uid": "uid-first",
        }
        body = {"apiVersion": "a/v1", "kind": "ValidatingAdmissionPolicy", "metadata": meta}
        self.store(POLICY, {**body, "spec": {"matchPolicy": "Equivalent", **(spec or SPEC)}}, "install")
        self.writes.clear()

    def wish(self, spec: Body | None = None, *, age: float = 3600.0, manager: str = "helm") -> None:
        item = {
            "apiVersion": "a/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "gate-backstop.locktender.dev"},
            "spec": spec or SPEC,
        }
        written = (NOON - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = {"f:data": {}}
        self.objects[CONFIG_MAP] = {
            "metadata": {
                "name": NAME,
                "uid": "uid-wish",
                "creationTimestamp": written,
                "labels": {"app.kubernetes.io/name": "locktender"},
                "annotations": {"meta.helm.sh/release-name": "locktender", "else": "where"},
                "managedFields": [
                    {
                        "manager": "kubectl-edit",
                        "operation": "Update",
                        "time": "2020-01-01T00:00:00Z",
                        "fieldsV1": fields,
                    },
                    {"manager": manager, "operation": "Apply", "time": written, "fieldsV1": fields},
                ],
            },
            "data": {"ValidatingAdmissionPolicy.gate-backstop.locktender.dev": json.dumps(item)},
        }


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    def __init__(self, mode: GuardMode = GuardMode.RESTORE) -> None:
        self.server, self.clock, self.metrics = Server(), Clock(), Metrics()
        settings = Settings("runner", guard=mode, guard_config_map=NAME, lease_namespace=HOME)
        self.guard = Guard(self.server, settings, self.metrics, clock=self.clock, now=lambda: NOON)  # type: ignore[arg-type]

    async def look(self) -> float:
        return (await self.guard.look())[1]

    def told(self) -> list[tuple[str, str]]:
        return [(event["reason"], event["note"]) for event in self.server.events]

    def value(self, metric: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(metric, labels)


@pytest.fixture
def world() -> World:
    made = World()
    made.server.install()
    return made


def edit(world: World, **spec: Any) -> None:
    there = world.server.objects[POLICY]
    entry = {"manager": "kubectl-edit", "operation": "Update", "time": "2026-03-01T12:00:00Z"}
    meta = {**there["metadata"], "resourceVersion": "edited", "managedFields": [entry]}
    world.server.objects[POLICY] = {**there, "metadata": meta, "spec": {**there["spec"], **spec}}


async def test_writes_nothing_while_nothing_differs(world: World) -> None:
    assert world.value("locktender_gate_installed") == -1
    assert await world.look() == GUARD_INTERVAL
    assert (world.server.writes, world.told()) == ([], [])
    assert world.value("locktender_gate_installed") == 1


async def test_brings_back_what_was_deleted_as_the_one_who_installed_it(world: World) -> None:
    wanted = world.server.objects.pop(POLICY)
    await world.look()
    assert world.server.writes == ["apply as helm"]
    made = world.server.objects[POLICY]
    assert (made["spec"], made["metadata"]["labels"]) == (wanted["spec"], wanted["metadata"]["labels"])
    assert made["metadata"]["annotations"] == {"meta.helm.sh/release-name": "locktender"}
    ((reason, text),) = world.told()
    assert reason == "GateRestored"
    assert text.startswith(
        "ValidatingAdmissionPolicy gate-backstop.locktender.dev, a part of the gate, was deleted. It is restored."
    )
    named = "ValidatingAdmissionPolicy/gate-backstop.locktender.dev"
    assert world.value("locktender_gate_restored_total", object=named) == 1
    await world.look()
    assert len(world.told()) == 1
    assert world.value("locktender_gate_installed") == 1


async def test_takes_back_a_changed_field_and_takes_out_an_added_one(world: World) -> None:
    edit(world, failurePolicy="Ignore", matchConditions=[{"name": "never", "expression": "false"}])
    await world.look()
    assert world.server.objects[POLICY]["spec"] == {"matchPolicy": "Equivalent", **SPEC}
    assert world.server.writes == ["apply as helm", "replace"]
    assert "was edited (last by kubectl-edit). It is restored." in world.told()[0][1]


async def test_leaves_an_install_or_upgrade_the_time_to_write_the_objects_itself(world: World) -> None:
    world.server.wish({**SPEC, "failurePolicy": "Ignore"}, age=4.0)
    assert await world.look() == GUARD_GRACE - 4.0
    assert (world.server.writes, world.told()) == ([], [])
    world.server.wish({**SPEC, "failurePolicy": "Ignore"}, age=GUARD_GRACE)
    await world.look()
    assert world.server.objects[POLICY]["spec"]["failurePolicy"] == "Ignore"


async def test_with_an_empty_wish_an_uninstall_is_left_alone(world: World) -> None:
    del world.server.objects[CONFIG_MAP]["data"], world.server.objects[POLICY]
    assert await world.look() == GUARD_INTERVAL
    assert (world.server.writes, world.told()) == ([], [])
    assert world.value("locktender_gate_installed") == -1


@pytest.mark.parametrize("wish", ["gone", "empty"])
async def test_an_uninstall_between_the_look_and_the_write_is_seen(world: World, wish: str) -> None:
    del world.server.objects[POLICY]

    def uninstalled(method: str, where: str) -> None:
        if (method, where) == ("get", POLICY):
            _unwish(world, wish)

    world.server.before = uninstalled
    assert await world.look() == 0.0
    assert (world.server.writes, world.told()) == ([], [])


@pytest.mark.parametrize("wish", ["gone", "empty"])
async def test_an_uninstall_during_the_write_is_not_undone(world: World, wish: str) -> None:
    """The uninstall has looked for policies already, and found none: what the guard has just made it has to take back itself."""
    del world.server.objects[POLICY]

    def uninstalled(method: str, _: str) -> None:
        if method == "apply":
            _unwish(world, wish)

    world.server.before = uninstalled
    await world.look()
    assert world.server.writes == ["apply as helm", "delete"]
    assert POLICY not in world.server.objects
    assert world.told() == []


def _unwish(world: World, wish: str) -> None:
    if wish == "gone":
        world.server.objects.pop(CONFIG_MAP, None)
    else:
        world.server.objects[CONFIG_MAP].pop("data", None)


async def test_a_wish_that_is_missing_for_longer_than_an_uninstall_takes_is_told(world: World) -> None:
    del world.server.objects[CONFIG_MAP]
    assert await world.look() == GUARD_GRACE
    assert world.told() == []
    world.clock.now += GUARD_GRACE
    assert await world.look() == GUARD_INTERVAL
    assert [reason for reason, _ in world.told()] == ["GateIncomplete"]
    assert world.value("locktender_gate_installed") == 0
    await world.look()
    assert len(world.told()) == 1


async def test_does_not_fight_whoever_insists(world: World) -> None:
    waits = []
    for _ in range(9):
        edit(world, failurePolicy="Ignore")
        wait = await world.look()
        if world.server.objects[POLICY]["spec"]["failurePolicy"] == "Ignore":
            waits.append(wait)
            world.clock.now += wait
            await world.look()
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    world.clock.now += 601.0
    edit(world, failurePolicy="Ignore")
    assert await world.look() == GUARD_INTERVAL, "after some quiet, at once again"


async def test_what_cannot_be_restored_is_told_once_and_tried_again(world: World) -> None:
    del world.server.objects[POLICY]
    world.server.refuses = "you may not"
    assert await world.look() == GUARD_RETRY
    await world.look()
    ((reason, text),) = world.told()
    assert reason == "GateIncomplete"
    assert "a part of the gate, is missing, and" in text
    assert "the operator leaves it so: the API server refused: 403 Forbidden: you may not." in text
    assert "helm -n locktender-system upgrade" in text
    assert world.value("locktender_gate_installed") == 0
    world.server.refuses = ""
    await world.look()
    assert world.server.writes == ["apply as helm"]


class TestReportOnly:
    @pytest.fixture
    def world(self) -> World:
        made = World(GuardMode.REPORT)
        made.server.install()
        return made

    async def test_says_nothing_of_the_servers_defaults(self, world: World) -> None:
        await world.look()
        assert world.told() == []
        assert world.value("locktender_gate_installed") == 1

    @pytest.mark.parametrize(
        "spec",
        [
            {"failurePolicy": "Ignore"},
            {"matchConditions": [{"name": "never", "expression": "false"}]},
            {"validations": []},
            {"namespaceSelector": {"matchLabels": {"a": "b"}}},
        ],
    )
    async def test_tells_once_and_writes_nothing(self, world: World, spec: Body) -> None:
        edit(world, **spec)
        await world.look()
        await world.look()
        ((reason, text),) = world.told()
        assert reason == "GateIncomplete"
        assert "is not what the chart installed, and the operator leaves it so: gate.guard is Report." in text
        assert world.server.writes == []
        assert world.value("locktender_gate_installed") == 0

    async def test_tells_of_what_is_missing(self, world: World) -> None:
        del world.server.objects[POLICY]
        await world.look()
        assert "is missing" in world.told()[0][1]


async def test_a_config_map_that_no_chart_renders_is_an_error_and_restores_nothing(world: World) -> None:
    world.server.objects[CONFIG_MAP]["data"]["x"] = json.dumps({"kind": "Secret", "metadata": {"name": "x"}})
    with pytest.raises(ApiError, match="is not what the chart renders"):
        await world.look()
    assert world.server.writes == []
