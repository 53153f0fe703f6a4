"""The gate on a real API server: who may write what to a Deployment, and what becomes of it. The chart's own templates are installed.

The people: `alice` may edit, `argo` holds every verb by `*` as cluster administrators and GitOps controllers do, `operator` is bound
to what the chart gives the operator, `oncall` may edit and bypass.
"""

import itertools
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.apiserver.conftest import Kubectl, until
from tools.render import render

pytestmark = pytest.mark.apiserver

OPERATOR = f"system:serviceaccount:{render.NAMESPACE}:locktender"
# What the ClusterRole edit is made of; its aggregation needs a controller that does not run here.
EDIT = ["system:aggregate-to-view", "system:aggregate-to-edit", "locktender-view", "locktender-edit"]
BINDINGS = {"alice": EDIT, "argo": ["cluster-admin"], "oncall": [*EDIT, "locktender-bypass"]}
HELD = "locktender.dev/held"
RELEASED = "locktender.dev/released"
BYPASS = "locktender.dev/bypass"
LEAVING = "cannot leave its gate"
_names = (f"web-{number}" for number in itertools.count())

Body = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def gate(kubectl: Kubectl, cluster_kubectl: Kubectl, definitions: None) -> None:
    cluster_kubectl("create", "namespace", render.NAMESPACE)
    chart = render.helm_template(
        "--show-only=templates/gate/mutating.yaml", "--show-only=templates/gate/validating.yaml"
    )
    roles = render.helm_template("--show-only=templates/rbac/operator.yaml", "--show-only=templates/rbac/people.yaml")
    cluster_kubectl("apply", body=f"{chart}\n---\n{roles}")
    for user, granted in BINDINGS.items():
        for role in granted:
            cluster_kubectl("create", "clusterrolebinding", f"{user}-{role}", f"--clusterrole={role}", f"--user={user}")
    until(
        lambda: held(kubectl.json("create", "--dry-run=server", body=deployment("probe"))), "the mutating policy holds"
    )
    nameless = deployment("probe", labels={"locktender.dev/gate": ""})
    until(
        lambda: kubectl.run("create", "--dry-run=server", body=nameless).returncode != 0,
        "the validating policy refuses",
    )
    for user, verb in ((OPERATOR, "release"), ("argo", "release"), ("oncall", "bypass")):
        until(partial(_may, kubectl, user, verb, "databasemigrations/shop"), f"{user} may {verb}")
    until(partial(_may, kubectl, "alice", "patch", "deployments"), "alice may patch deployments")


def _may(kubectl: Kubectl, user: str, verb: str, resource: str) -> bool:
    return kubectl.run("auth", "can-i", verb, resource, user=user).returncode == 0


def deployment(
    name: str,
    *,
    image: str = "shop:1",
    init: str | None = None,
    key: str | None = None,
    env: str | None = None,
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    **spec: Any,
) -> Body:
    container: Body = {"name": "web", "image": image, **({"env": [{"name": "COLOR", "value": env}]} if env else {})}
    pod: Body = {"containers": [container], **({"initContainers": [{"name": "init", "image": init}]} if init else {})}
    template: Body = {"labels": {"app": name}, **({"annotations": {"locktender.dev/key": key}} if key else {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "labels": {"locktender.dev/gate": "shop"} if labels is None else labels,
            "annotations": annotations or {},
        },
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": {"metadata": template, "spec": pod}, **spec},
    }


def held(item: Body) -> bool:
    """Held, or neither paused nor marked; a test that meets one without the other fails here."""
    paused = item["spec"].get("paused", False)
    marked = item["metadata"].get("annotations", {}).get(HELD) == "true"
    assert paused == marked, f"paused: {paused}, marked: {marked}"
    return bool(paused)


class Gate:
    """One Deployment at the gate, and what people do to it."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self.kubectl = kubectl
        self.name = name

    def get(self) -> Body:
        item: Body = self.kubectl.json("get", "deployment", self.name)
        return item

    @property
    def held(self) -> bool:
        return held(self.get())

    def word(self, said: str, ahead: int = 0) -> str:
        """What opens this gate: a run or a reason, and the generation that is opened (each change of an annotation is one)."""
        return f"{said}@{self.get()['metadata']['generation'] + ahead}"

    def annotate(self, name: str, value: str | None, user: str = "alice") -> None:
        self.patch({"metadata": {"annotations": {name: value}}}, user)

    def patch(self, body: Any, user: str = "alice") -> None:
        self.kubectl("patch", "deployment", self.name, *self._patch(body), user=user)

    def patch_refused(self, body: Any, user: str = "alice") -> str:
        return self.kubectl.refused("patch", "deployment", self.name, *self._patch(body), user=user)

    @staticmethod
    def _patch(body: Any) -> tuple[str, str]:
        return f"--type={'json' if isinstance(body, list) else 'merge'}", f"--patch={json.dumps(body)}"

    def replace(self, user: str, **fields: Any) -> None:
        self.kubectl("replace", body=deployment(self.name, **fields), user=user)

    def set_image(self, image: str, user: str = "alice") -> None:
        self.kubectl("set", "image", f"deployment/{self.name}", f"web={image}", user=user)


def release(run: str, image: str = "shop:1") -> list[Body]:
    """The operator's own patch."""
    return [
        {"op": "test", "path": "/spec/template/spec/containers/0/image", "value": image},
        {"op": "remove", "path": "/spec/paused"},
        {"op": "remove", "path": "/metadata/annotations/locktender.dev~1held"},
        {"op": "add", "path": "/metadata/annotations/locktender.dev~1released", "value": run},
    ]


def open_gate(**annotations: str) -> Body:
    """What lets a Deployment go, if the gate agrees."""
    named = {f"locktender.dev/{name}": value for name, value in annotations.items()}
    return {"spec": {"paused": None}, "metadata": {"annotations": {HELD: None, **named}}}


@pytest.fixture
def create(kubectl: Kubectl) -> Callable[..., Gate]:
    def _create(user: str = "alice", **fields: Any) -> Gate:
        name = next(_names)
        kubectl("create", body=deployment(name, **fields), user=user)
        return Gate(kubectl, name)

    return _create


@pytest.fixture
def waiting(create: Callable[..., Gate]) -> Gate:
    """A Deployment that was just created, and so is held."""
    return create()


@pytest.fixture
def serving(waiting: Gate) -> Gate:
    """A Deployment that was let through and serves shop:1."""
    waiting.patch(release(waiting.word("run-1")), OPERATOR)
    assert not waiting.held
    return waiting


class TestWhatIsHeld:
    def test_a_new_deployment(self, waiting: Gate) -> None:
        assert waiting.held

    def test_a_new_deployment_of_an_administrator(self, create: Callable[..., Gate]) -> None:
        assert create(user="argo").held

    def test_a_new_deployment_without_any_annotations_or_containers_env(self, kubectl: Kubectl) -> None:
        body = deployment(next(_names))
        del body["metadata"]["annotations"]
        assert held(kubectl.json("create", body=body))

    def test_a_new_image(self, serving: Gate) -> None:
        serving.set_image("shop:2")
        assert serving.held

    def test_a_new_image_of_the_operator_itself(self, serving: Gate) -> None:
        serving.set_image("shop:2", user=OPERATOR)
        assert serving.held

    def test_a_new_init_container(self, serving: Gate) -> None:
        serving.patch({"spec": {"template": {"spec": {"initContainers": [{"name": "init", "image": "init:1"}]}}}})
        assert serving.held

    def test_another_image_of_an_init_container(self, create: Callable[..., Gate]) -> None:
        web = create(init="init:1")
        web.patch(release(web.word("run-1")), OPERATOR)
        web.patch({"spec": {"template": {"spec": {"initContainers": [{"name": "init", "image": "init:2"}]}}}})
        assert web.held

    def test_another_key(self, serving: Gate) -> None:
        serving.patch({"spec": {"template": {"metadata": {"annotations": {"locktender.dev/key": "1.1"}}}}})
        assert serving.held

    def test_a_removed_key(self, create: Callable[..., Gate]) -> None:
        web = create(key="1.0")
        web.patch(release(web.word("run-1")), OPERATOR)
        web.patch({"spec": {"template": {"metadata": {"annotations": {"locktender.dev/key": None}}}}})
        assert web.held

    def test_a_deployment_that_comes_under_the_gate_with_another_image(self, create: Callable[..., Gate]) -> None:
        web = create(labels={})
        web.patch(
            {
                "metadata": {"labels": {"locktender.dev/gate": "shop"}},
                "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "shop:2"}]}}},
            }
        )
        assert web.held

    def test_a_new_image_in_client_side_apply(self, kubectl: Kubectl) -> None:
        name = next(_names)
        kubectl("apply", body=deployment(name), user="alice")
        kubectl("patch", "deployment", name, *Gate._patch(release("run-1@1")), user=OPERATOR)
        kubectl("apply", body=deployment(name, image="shop:2"), user="alice")
        assert Gate(kubectl, name).held

    def test_a_new_image_in_server_side_apply(self, kubectl: Kubectl) -> None:
        name = next(_names)
        kubectl("apply", "--server-side", body=deployment(name), user="alice")
        kubectl("patch", "deployment", name, *Gate._patch(release("run-1@1")), user=OPERATOR)
        kubectl("apply", "--server-side", body=deployment(name, image="shop:2"), user="alice")
        assert Gate(kubectl, name).held

    def test_duplicate_variables_survive_the_hold(self, kubectl: Kubectl) -> None:
        body = deployment(next(_names), env="red")
        body["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "COLOR", "value": "blue"})
        created = kubectl.json("create", body=body)
        assert held(created)
        assert [item["value"] for item in created["spec"]["template"]["spec"]["containers"][0]["env"]] == [
            "red",
            "blue",
        ]

    def test_a_dry_run_shows_the_hold_and_changes_nothing(self, serving: Gate, kubectl: Kubectl) -> None:
        shown = kubectl.json(
            "set", "image", f"deployment/{serving.name}", "web=shop:2", "--dry-run=server", user="alice"
        )
        assert held(shown)
        assert not serving.held


class TestWhatIsNotHeld:
    def test_a_deployment_without_the_label(self, create: Callable[..., Gate]) -> None:
        web = create(labels={})
        web.set_image("shop:2")
        assert not web.held

    def test_an_environment_variable(self, serving: Gate, kubectl: Kubectl) -> None:
        kubectl("set", "env", f"deployment/{serving.name}", "COLOR=red", user="alice")
        assert not serving.held

    def test_a_restart(self, serving: Gate, kubectl: Kubectl) -> None:
        kubectl("rollout", "restart", f"deployment/{serving.name}", user="alice")
        assert not serving.held

    def test_scaling(self, serving: Gate, kubectl: Kubectl) -> None:
        kubectl("scale", f"deployment/{serving.name}", "--replicas=3", user="alice")
        assert not serving.held

    def test_coming_under_the_gate_with_the_running_image(self, create: Callable[..., Gate]) -> None:
        web = create(labels={})
        web.patch({"metadata": {"labels": {"locktender.dev/gate": "shop"}}})
        assert not web.held

    def test_leaving_the_gate_when_nothing_is_held(self, serving: Gate) -> None:
        serving.patch({"metadata": {"labels": {"locktender.dev/gate": None}}})
        serving.set_image("shop:2")
        assert not serving.held

    def test_moving_to_another_gate_when_nothing_is_held(self, serving: Gate) -> None:
        serving.patch({"metadata": {"labels": {"locktender.dev/gate": "other"}}})
        assert not serving.held

    def test_a_pause_by_a_person_stays_theirs(self, serving: Gate, kubectl: Kubectl) -> None:
        kubectl("rollout", "pause", f"deployment/{serving.name}", user="alice")
        assert HELD not in serving.get()["metadata"]["annotations"]
        kubectl("rollout", "resume", f"deployment/{serving.name}", user="alice")
        assert not serving.held


@pytest.mark.parametrize("user", ["alice", "argo"])
class TestAHoldIsSticky:
    """For people who may edit, and for those who hold every verb by `*`."""

    def test_against_rollout_resume(self, waiting: Gate, kubectl: Kubectl, user: str) -> None:
        kubectl("rollout", "resume", f"deployment/{waiting.name}", user=user)
        assert waiting.held

    def test_against_a_merge_patch_of_paused(self, waiting: Gate, user: str) -> None:
        waiting.patch({"spec": {"paused": None}}, user)
        assert waiting.held

    def test_against_removing_the_mark(self, waiting: Gate, user: str) -> None:
        waiting.annotate(HELD, None, user)
        assert waiting.held

    def test_against_changing_the_mark(self, waiting: Gate, user: str) -> None:
        waiting.annotate(HELD, "false", user)
        assert waiting.held

    def test_against_both(self, waiting: Gate, user: str) -> None:
        waiting.patch(open_gate(), user)
        assert waiting.held

    def test_against_replace(self, waiting: Gate, user: str) -> None:
        waiting.replace(user)
        assert waiting.held

    def test_against_replace_with_another_image(self, waiting: Gate, user: str) -> None:
        waiting.replace(user, image="shop:2")
        assert waiting.held

    def test_against_a_manifest_that_says_not_paused(self, waiting: Gate, kubectl: Kubectl, user: str) -> None:
        manifest = deployment(waiting.name, paused=False)
        kubectl("apply", "--server-side", "--force-conflicts", body=manifest, user=user)
        before = waiting.get()["metadata"]["resourceVersion"]
        kubectl("apply", "--server-side", "--force-conflicts", body=manifest, user=user)
        assert waiting.held
        assert waiting.get()["metadata"]["resourceVersion"] == before, "an apply that repeats itself writes nothing"

    def test_and_scaling_goes_on(self, waiting: Gate, kubectl: Kubectl, user: str) -> None:
        kubectl("scale", f"deployment/{waiting.name}", "--replicas=3", user=user)
        assert waiting.held
        assert waiting.get()["spec"]["replicas"] == 3

    def test_against_removing_the_label(self, waiting: Gate, user: str) -> None:
        assert LEAVING in waiting.patch_refused({"metadata": {"labels": {"locktender.dev/gate": None}}}, user)

    def test_against_removing_all_labels(self, waiting: Gate, user: str) -> None:
        assert LEAVING in waiting.patch_refused({"metadata": {"labels": None}}, user)

    def test_against_renaming_the_label(self, waiting: Gate, user: str) -> None:
        refusal = waiting.patch_refused({"metadata": {"labels": {"locktender.dev/gate": "other"}}}, user)
        assert "keep the label locktender.dev/gate: shop until the migration has succeeded" in refusal

    def test_against_a_dry_run_too(self, waiting: Gate, kubectl: Kubectl, user: str) -> None:
        shown = kubectl.json(
            "patch", "deployment", waiting.name, "--dry-run=server", *Gate._patch(open_gate()), user=user
        )
        assert held(shown)


class TestRelease:
    def test_by_the_operator_lets_the_deployment_through(self, waiting: Gate) -> None:
        waiting.patch(release(waiting.word("run-1")), OPERATOR)
        assert not waiting.held
        assert waiting.get()["metadata"]["annotations"][RELEASED] == "run-1@1"

    def test_without_a_run_stays_held(self, waiting: Gate) -> None:
        waiting.patch(open_gate(), OPERATOR)
        assert waiting.held

    def test_with_an_empty_run_stays_held(self, waiting: Gate) -> None:
        waiting.patch(open_gate(released=""), OPERATOR)
        assert waiting.held

    def test_with_the_run_of_the_last_release_stays_held(self, serving: Gate) -> None:
        serving.set_image("shop:2")
        serving.patch(open_gate(released="run-1@1"), OPERATOR)
        assert serving.held

    def test_that_does_not_name_the_generation_it_opens_stays_held(self, waiting: Gate) -> None:
        for said in ("by-hand", "by-hand@", waiting.word("by-hand", 9), "by-hand@0"):
            waiting.patch(open_gate(released=said), "argo")
            assert waiting.held, said

    def test_by_an_old_export_of_the_same_images_stays_held(self, serving: Gate) -> None:
        """Every verb, the right images, a word that once opened this very gate: still not meant for this hold."""
        export = serving.get()
        serving.set_image("shop:2")
        serving.patch(release(serving.word("run-2"), "shop:2"), OPERATOR)
        serving.set_image("shop:1")
        for server_field in ("resourceVersion", "uid", "generation", "managedFields", "creationTimestamp"):
            export["metadata"].pop(server_field, None)
        serving.kubectl("replace", body=export, user="argo")
        assert serving.held

    def test_with_the_next_run_lets_the_next_image_through(self, serving: Gate) -> None:
        serving.set_image("shop:2")
        serving.patch(release(serving.word("run-2"), "shop:2"), OPERATOR)
        assert not serving.held

    def test_of_an_image_that_has_changed_since_fails(self, waiting: Gate) -> None:
        waiting.set_image("shop:2")
        assert "The request is invalid" in waiting.patch_refused(release(waiting.word("run-1")), OPERATOR)
        assert waiting.held

    def test_cannot_bring_another_image_along(self, waiting: Gate) -> None:
        image = {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "shop:2"}
        waiting.patch([*release(waiting.word("run-1")), image], OPERATOR)
        assert waiting.held

    def test_by_somebody_without_the_verb_stays_held(self, waiting: Gate) -> None:
        waiting.patch(open_gate(released=waiting.word("run-1")), "alice")
        assert waiting.held

    def test_announced_before_by_somebody_else_is_stale(self, waiting: Gate) -> None:
        waiting.annotate(RELEASED, "run-1@1", "alice")
        waiting.patch(open_gate(released="run-1@1"), OPERATOR)
        assert waiting.held

    def test_by_an_administrator_who_says_so(self, waiting: Gate) -> None:
        waiting.patch(open_gate(released=waiting.word("by-hand")), "argo")
        assert not waiting.held

    def test_does_not_count_on_create(self, create: Callable[..., Gate]) -> None:
        assert create(user="argo", annotations={RELEASED: "run-1@1"}).held

    def test_does_not_let_the_next_image_through(self, serving: Gate) -> None:
        serving.replace("argo", image="shop:2", annotations={RELEASED: serving.word("run-1")})
        assert serving.held

    def test_with_a_half_opened_gate_is_refused(self, waiting: Gate) -> None:
        half = {"spec": {"paused": None}, "metadata": {"annotations": {RELEASED: waiting.word("run-1")}}}
        assert "go together: remove both in one request" in waiting.patch_refused(half, OPERATOR)


class TestBypass:
    def test_with_the_verb_and_a_reason_lets_the_deployment_through(self, waiting: Gate) -> None:
        waiting.patch(open_gate(bypass=waiting.word("INC-42")), "oncall")
        assert not waiting.held

    def test_does_not_count_on_create(self, create: Callable[..., Gate]) -> None:
        """What a backup of the cluster restores may carry a word that counted once."""
        for said in ("INC-42", "INC-42@", "INC-42@0", "INC-42@1"):
            assert create(user="oncall", annotations={BYPASS: said}).held, said

    def test_of_an_image_change(self, serving: Gate) -> None:
        serving.replace("oncall", image="shop:2", annotations={BYPASS: serving.word("INC-42")})
        assert not serving.held

    def test_counts_for_one_request_only(self, serving: Gate) -> None:
        word = serving.word("INC-42")
        serving.replace("oncall", image="shop:2", annotations={BYPASS: word})
        serving.replace("oncall", image="shop:3", annotations={BYPASS: word})
        assert serving.held

    def test_with_the_reason_of_last_time_stays_held(self, waiting: Gate) -> None:
        waiting.annotate(BYPASS, "INC-42@1", "alice")
        waiting.patch(open_gate(bypass="INC-42@1"), "oncall")
        assert waiting.held

    def test_with_a_blank_reason_stays_held(self, waiting: Gate) -> None:
        waiting.patch(open_gate(bypass=waiting.word("  ")), "oncall")
        assert waiting.held

    def test_with_a_reason_for_another_generation_stays_held(self, waiting: Gate) -> None:
        for ahead in (-1, 1, 10):
            said = waiting.word("INC-42", ahead)
            waiting.patch(open_gate(bypass=said), "oncall")
            assert waiting.held, said

    def test_without_a_reason_stays_held(self, waiting: Gate) -> None:
        waiting.patch(open_gate(), "oncall")
        assert waiting.held

    @pytest.mark.parametrize("user", ["alice", OPERATOR])
    def test_without_the_verb_stays_held(self, waiting: Gate, user: str) -> None:
        waiting.patch(open_gate(bypass=waiting.word("INC-42")), user)
        assert waiting.held

    def test_without_the_verb_on_create_is_held(self, create: Callable[..., Gate]) -> None:
        assert create(annotations={BYPASS: "INC-42@1"}).held

    def test_may_leave_the_gate(self, waiting: Gate) -> None:
        leave = open_gate(bypass=waiting.word("INC-42"))
        leave["metadata"]["labels"] = {"locktender.dev/gate": None}
        waiting.patch(leave, "oncall")
        assert not waiting.held

    def test_without_the_verb_may_not_leave_the_gate(self, waiting: Gate) -> None:
        leave = open_gate(bypass=waiting.word("INC-42"))
        leave["metadata"]["labels"] = {"locktender.dev/gate": None}
        assert LEAVING in waiting.patch_refused(leave, "alice")

    def test_of_another_gate_does_not_count(self, kubectl: Kubectl, waiting: Gate) -> None:
        kubectl(
            "create",
            "role",
            "other-bypass",
            "--verb=bypass",
            "--resource=databasemigrations.locktender.dev",
            "--resource-name=other",
        )
        kubectl("create", "rolebinding", "other-bypass", "--role=other-bypass", "--user=alice")
        until(partial(_may, kubectl, "alice", "bypass", "databasemigrations/other"), "alice may bypass the other gate")
        leave = open_gate(bypass=waiting.word("INC-42"))
        leave["metadata"]["labels"] = {"locktender.dev/gate": "other"}
        assert LEAVING in waiting.patch_refused(leave, "alice")


class TestForgeries:
    def test_the_mark_of_the_gate_cannot_be_set_by_hand(self, serving: Gate) -> None:
        patch = {"spec": {"paused": True}, "metadata": {"annotations": {HELD: "true"}}}
        assert "only the gate sets the annotation locktender.dev/held" in serving.patch_refused(patch)

    def test_nor_without_the_pause(self, serving: Gate) -> None:
        assert "only the gate sets" in serving.patch_refused({"metadata": {"annotations": {HELD: "true"}}})

    def test_a_manifest_that_brings_the_mark_is_held_as_any_other(self, create: Callable[..., Gate]) -> None:
        assert create(annotations={HELD: "true"}).held

    def test_the_label_names_a_migration(self, kubectl: Kubectl) -> None:
        body = deployment(next(_names), labels={"locktender.dev/gate": ""})
        assert "the label locktender.dev/gate is empty" in kubectl.refused("create", body=body, user="alice")

    def test_a_deployment_without_images_is_refused_for_that_and_not_by_the_gate(self, kubectl: Kubectl) -> None:
        body = deployment(next(_names))
        del body["spec"]["template"]["spec"]["containers"][0]["image"]
        refusal = kubectl.refused("create", body=body, user="alice")
        assert "image: Required value" in refusal
        assert "locktender" not in refusal
