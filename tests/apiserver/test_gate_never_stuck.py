"""Whatever people do and whatever breaks, in whatever order: no pod of an unverified version, no hold without a word, no way without an end.

A hypothesis state machine acts against a real API server with the real operator, and checks after each step:
nothing unverified has ever had a ReplicaSet with replicas or a pod, and each held Deployment tells why and what to do. At the end the
causes are removed, the messages' advice is followed, and everything converges within 30 s; then the operator is at rest.

    LOCKTENDER_MACHINE_EXAMPLES=500   to run longer (20 by default)
    LOCKTENDER_MACHINE_SEED=123       to repeat a run; each failure names its seed
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.apiserver.gate_server import GateServer
from tests.apiserver.kubelet import Fate
from tests.apiserver.running_operator import Operator
from tests.apiserver.shop import MIGRATION, Shop, open_shop
from tests.apiserver.way_out import WayOut
from tools.kube import facts
from tools.kube.api import ApiError

pytestmark = [
    pytest.mark.apiserver,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # an operator that is cut off closes nothing
]

EXAMPLES = int(os.environ.get("LOCKTENDER_MACHINE_EXAMPLES", "20"))  # 5 to 7 s each on 2 cores: about two minutes
STEPS = 14  # enough for a release, two faults on top of each other, and a release over them
ELSEWHERE = "other-db"
NAMES = st.sampled_from(["web", "worker"])
NUMBERS = st.integers(1, 4)


@dataclass(frozen=True)
class Manifest:
    """A Deployment's file in Git."""

    number: int = 1
    key: str = ""
    gate: str | None = MIGRATION
    paused: bool | None = None
    replicas: int = 1
    env: str = ""


@dataclass(frozen=True)
class Variant:
    """How the shop ties its two Deployments together."""

    name: str
    worker_image: str = "shop"
    keyed: bool = False
    migration: tuple[tuple[str, Any], ...] = ()


VARIANTS = (
    Variant("one image"),
    Variant("one image, keyed", keyed=True),
    Variant("worker tied by key", "worker", keyed=True, migration=(("from", {"deployment": "web"}),)),
    Variant("worker not tied", "worker", migration=(("from", {"deployment": "web"}),)),
    Variant("migrations of their own", "worker", keyed=True, migration=(("image", "migrations:v1"),)),
)


class Gate(RuleBasedStateMachine):
    """One shop, from its first Deployment to its end."""

    server: GateServer  # set by the fixture

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.shop: Shop = self._stack.enter_context(open_shop(self.server))
        self.operator = Operator(self.server.operator_kubeconfig, (self.shop.namespace,))
        self.manifests = {"web": Manifest(), "worker": Manifest()}
        self.spec: dict[str, Any] = {}
        self.variant = VARIANTS[0]
        self.failed = False
        self.log: list[str] = []

    # The beginning

    @initialize(
        variant=st.sampled_from(VARIANTS),
        ran_before=st.booleans(),
        backed_up=st.booleans(),
        revert=st.sampled_from(["Release", "Hold"]),
        running=st.booleans(),
    )
    def begin(self, variant: Variant, ran_before: bool, backed_up: bool, revert: str, running: bool) -> None:
        self.variant = variant
        backup: dict[str, Any] = {"policy": "Required", "storage": {"pvc": {"claimName": "backups"}}, "reason": None}
        self.spec = {
            "migration": {"framework": "Command", "command": ["./migrate"], **dict(variant.migration)},
            "gate": {"onDelete": "Hold", "revert": revert},
            **({"backup": backup} if backed_up else {}),
            **({"release": "r1"} if "image" in dict(variant.migration) else {}),
        }
        self._say(f"begin {variant.name}, ran_before={ran_before}, backed_up={backed_up}, revert={revert}")
        if running:
            self.operator.start()
        for name in self.manifests:
            gate = None if ran_before else MIGRATION
            self._apply(name, gate=gate, key="r1" if variant.keyed else "")
        self._do("apply the DatabaseMigration", self._recreate, MIGRATION)

    # What people do

    @rule(name=NAMES, number=NUMBERS, paused=st.sampled_from([None, None, False, True]))
    def ship_one(self, name: str, number: int, paused: bool | None) -> None:
        self._apply(name, number=number, key=f"r{number}" if self.variant.keyed else "", paused=paused)

    @rule(number=NUMBERS, order=st.permutations(["web", "worker", "dbm"]))
    def ship(self, number: int, order: list[str]) -> None:
        for part in order:
            if part != "dbm":
                self._apply(part, number=number, key=f"r{number}" if self.variant.keyed else "", paused=None)
            elif "image" in dict(self.variant.migration):
                self.spec["migration"]["image"], self.spec["release"] = f"migrations:v{number}", f"r{number}"
                self._do(
                    f"spec of v{number}",
                    self.shop.change,
                    migration={"image": f"migrations:v{number}"},
                    release=f"r{number}",
                )

    @rule(name=NAMES, key=st.sampled_from(["", "r1", "r2", "r9"]))
    def change_the_key(self, name: str, key: str) -> None:
        self._apply(name, key=key)

    @rule(release=st.sampled_from(["", "r1", "r2", "r3"]))
    def change_the_release(self, release: str) -> None:
        self.spec = (
            {**self.spec, "release": release} if release else {k: v for k, v in self.spec.items() if k != "release"}
        )
        self._do(f"spec.release {release!r}", self.shop.change, release=release or None)

    @rule(name=NAMES, env=st.sampled_from(["red", "blue"]))
    def change_the_environment(self, name: str, env: str) -> None:
        self._apply(name, env=env)

    @rule(name=NAMES, replicas=st.integers(0, 2))
    def scale(self, name: str, replicas: int) -> None:
        self._apply(name, replicas=replicas)

    @rule(name=NAMES)
    def restart(self, name: str) -> None:
        at = {"kubectl.kubernetes.io/restartedAt": str(time.time())}
        patch = {"spec": {"template": {"metadata": {"annotations": at}}}}
        self._do(f"restart {name}", self.shop.patch, name, patch)

    @rule(name=NAMES, paused=st.sampled_from([None, False, True]))
    def resume_or_pause(self, name: str, paused: bool | None) -> None:
        self._do(f"{name}: spec.paused {paused}", self.shop.patch, name, {"spec": {"paused": paused}})

    @rule(
        name=NAMES,
        held=st.sampled_from([None, "true", "false"]),
        released=st.sampled_from([None, "forged@1", "forged"]),
    )
    def forge(self, name: str, held: str | None, released: str | None) -> None:
        annotations = {"locktender.dev/held": held, "locktender.dev/released": released}
        patch = {"metadata": {"annotations": annotations}, "spec": {"paused": None}}
        self._do(f"forge {name}: held {held}, released {released}", self.shop.patch, name, patch)

    @rule(name=NAMES, gate=st.sampled_from([None, MIGRATION, MIGRATION, ELSEWHERE]))
    def label(self, name: str, gate: str | None) -> None:
        self._apply(name, gate=gate)

    @rule(name=NAMES)
    def delete_and_apply_again(self, name: str) -> None:
        self._do(f"delete {name}", self.shop.delete, "deployments", name)
        self._apply(name)

    @rule()
    def delete_the_migration(self) -> None:
        self._do("delete the DatabaseMigration", self.shop.delete, "databasemigrations", MIGRATION)

    @rule(name=st.sampled_from([MIGRATION, MIGRATION, ELSEWHERE]))
    def apply_the_migration(self, name: str) -> None:
        self._do(f"apply DatabaseMigration {name}", self._recreate, name)

    @rule(suspend=st.booleans())
    def suspend(self, suspend: bool) -> None:
        self._do(f"suspend {suspend}", self.shop.change, suspend=suspend)

    @rule()
    def retry(self) -> None:
        self._do("retry", self.shop.annotate, "retry", str(time.time_ns()))

    @rule(word=st.sampled_from(["ran", "not-ran"]))
    def resolve(self, word: str) -> None:
        run = (self.shop.dbm() or {}).get("status", {}).get("run", {}).get("id", "none")
        self._do(f"resolve {word}", self.shop.annotate, "resolve", f"{run}={word}")

    # What breaks

    @rule(backup=st.sampled_from([Fate.SUCCEEDS, Fate.FAILS]), migrate=st.sampled_from(list(Fate)))
    def fate(self, backup: Fate, migrate: Fate) -> None:
        self._say(f"backups: {backup}, migrations: {migrate}")
        self.shop.kubelet.backup, self.shop.kubelet.migrate = backup, migrate

    @rule(kind=st.sampled_from(["jobs", "pods"]))
    def lose(self, kind: str) -> None:
        for item in self.shop.recorder.objects(kind):
            if facts.step(item) == facts.MIGRATE:
                self._do(f"delete {kind}/{item['metadata']['name']}", self.shop.delete, kind, item["metadata"]["name"])

    @precondition(lambda self: self.operator.running)
    @rule()
    def stop_the_operator(self) -> None:
        self._say("stop the operator")
        self.operator.stop()

    @precondition(lambda self: not self.operator.running)
    @rule()
    def start_the_operator(self) -> None:
        self._say("start the operator")
        self.operator.start()

    # What holds

    @invariant()
    def nothing_unverified_and_everything_explained(self) -> None:
        with self._telling():
            if self.operator.running:
                self.shop.assert_explained()
            self.shop.assert_nothing_unverified()

    def teardown(self) -> None:
        try:
            if not self.failed and self.log:
                with self._telling():
                    self._end_well()
        finally:
            self.operator.stop()
            self._stack.close()

    def _end_well(self) -> None:
        self._say("remove the causes")
        self.shop.kubelet.backup = self.shop.kubelet.migrate = Fate.SUCCEEDS
        if not self.operator.running:
            self.operator.start()
        for name in self.manifests:
            self._apply(name, paused=None)
            self._do(f"resume {name}", self.shop.patch, name, {"spec": {"paused": None}})  # a person's own pause
            # Where the gate does not let it go the manifest follows the object, and the way out is at that gate.
            there = ((self.shop.live(name) or {}).get("metadata") or {}).get("labels") or {}
            gate = there.get("locktender.dev/gate")
            self._apply(name, gate=gate or MIGRATION)
            if (gate or MIGRATION) != MIGRATION and not facts.is_held(
                self.shop.live(name) or {"metadata": {}, "spec": {}}
            ):
                self._apply(name, gate=MIGRATION)
        self._do("apply the DatabaseMigration", self._recreate, MIGRATION)
        WayOut(self.shop, self._apply, self._recreate).follow()
        self.shop.assert_nothing_unverified()
        self.operator.assert_rests()

    # How

    def _apply(self, name: str, **changes: Any) -> None:
        manifest = replace(self.manifests[name], **changes)
        self.manifests[name] = manifest
        image = "shop" if name == "web" else self.variant.worker_image
        more: dict[str, Any] = {"replicas": manifest.replicas, "env": manifest.env}
        if manifest.paused is not None:
            more["paused"] = manifest.paused
        whole = f"{image}:v{manifest.number}"
        self._do(
            f"apply {name} {manifest}", self.shop.deploy, name, whole, key=manifest.key, gate=manifest.gate, **more
        )

    def _recreate(self, name: str) -> None:
        self.shop.migration(name, **self.spec)

    def _do(self, what: str, write: Callable[..., None], *arguments: Any, **options: Any) -> None:
        """A write that the API server may refuse, as it does for people."""
        self._say(what)
        try:
            write(*arguments, **options)
        except ApiError as error:
            self._say(f"  refused: {error}")
            if error.status not in (403, 404, 409, 422):
                raise

    def _say(self, what: str) -> None:
        self.log.append(what)

    def _telling(self) -> _Telling:
        return _Telling(self)


class _Telling:
    """Puts what was done into the error, so that a failure can be read without being repeated."""

    def __init__(self, machine: Gate) -> None:
        self.machine = machine

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.machine.failed = True
            error.add_note("after\n" + "\n".join(f"  {n}. {step}" for n, step in enumerate(self.machine.log, 1)))


@pytest.mark.timeout(EXAMPLES * 60 + 120)
def test_nothing_unverified_runs_and_nothing_stays_held(server: GateServer) -> None:
    number = int(os.environ.get("LOCKTENDER_MACHINE_SEED") or secrets.randbits(32))
    Gate.server = server
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],  # a step against a real server is too slow to shrink; the error tells each one
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        print_blob=False,
    )
    try:
        run_state_machine_as_test(seed(number)(Gate), settings=chosen)
    except BaseException as error:
        error.add_note(f"to repeat: LOCKTENDER_MACHINE_SEED={number} LOCKTENDER_MACHINE_EXAMPLES={EXAMPLES}")
        raise
