"""The stages of the table: an API server on each side of Kubernetes 1.36, with its controllers and one carrier of the gate."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.apiserver.conftest import Kubectl, until
from tests.apiserver.gate.connection import Connection, Refusal
from tests.apiserver.gate.manifests import GATE, deployment, held
from tests.apiserver.gate.people import Person
from tests.apiserver.gate.rewriter import a_rewriter
from tests.apiserver.gate.scene import Stage
from tests.apiserver.webhook import a_webhook
from tools.cluster.apiserver import ApiServer
from tools.render import render

NAMESPACE = "shop"
CARRIERS = {"policy": "1.37.2", "webhook": "1.35.4"}  # one version on each side of 1.36
ROLES = ("templates/rbac/operator.yaml", "templates/rbac/people.yaml")
MUTATING, VALIDATING = "templates/gate/mutating.yaml", "templates/gate/validating.yaml"


@contextmanager
def stage(carrier: str) -> Iterator[Stage]:
    """A stage where the carrier is in force and everybody has their rights."""
    with ExitStack() as stack:
        server = stack.enter_context(ApiServer(CARRIERS[carrier], controller_manager=True, quiet=False))
        connection = stack.enter_context(closing(Connection(server.url, server.state / "pki")))
        kubectl = Kubectl(render.program("kubectl"), server.kubeconfig, NAMESPACE)
        built = Stage(carrier, connection, kubectl, NAMESPACE)
        _grant(built)
        stack.enter_context(_carried(built))
        until(partial(_holds, built), "the carrier holds")
        until(partial(_refuses, built), "the backstop refuses")
        for configuration in stack.enter_context(a_rewriter()):
            kubectl("create", body=configuration)
        yield built


@contextmanager
def _carried(stage: Stage) -> Iterator[None]:
    """The chart's objects of this carrier; the webhook's server is a process of its own."""
    show = (f"--set=gate.carrier={stage.carrier}", f"--show-only={VALIDATING}")
    if stage.carrier == "policy":
        stage.kubectl("apply", body=render.helm_template(*show, f"--show-only={MUTATING}"))
        yield
        return
    stage.kubectl("apply", body=render.helm_template(*show))
    with TemporaryDirectory() as folder, a_webhook(Path(folder)) as webhook:
        stage.kubectl("apply", body=webhook.configuration())
        yield


def _grant(stage: Stage) -> None:
    """Roles as the chart has them; `edit` is put together by Kubernetes' own controller."""
    kubectl, connection = stage.kubectl, stage.connection
    for namespace in (NAMESPACE, render.NAMESPACE):
        connection.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    roles = render.helm_template(*(f"--show-only={name}" for name in ROLES))
    Kubectl(kubectl.program, kubectl.kubeconfig)("apply", body=roles)
    for person in Person:
        for role in person.value.roles:
            _bind(stage, person, {"kind": "ClusterRole", "name": role})
    verbs = {
        "verbs": ["bypass"],
        "apiGroups": ["locktender.dev"],
        "resources": ["databasemigrations"],
        "resourceNames": ["other"],
    }
    where = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles"
    connection.call("POST", where, {"metadata": {"name": "bypass-other"}, "rules": [verbs]})
    _bind(stage, Person.NEIGHBOUR, {"kind": "Role", "name": "bypass-other"})
    for person in Person:
        for verb, resource in person.value.verbs if person.user else ():
            until(partial(connection.may, person.user, verb, resource, "shop", NAMESPACE), f"{person.user} may {verb}")
    until(
        partial(connection.may, "bob", "bypass", "databasemigrations", "other", NAMESPACE),
        "bob may bypass the other gate",
    )
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default"
    until(lambda: connection.get(account) is not None, "pods have an account")


def _bind(stage: Stage, person: Person, role: dict[str, str]) -> None:
    everywhere = person is Person.ADMINISTRATOR
    kind = "clusterrolebindings" if everywhere else f"namespaces/{NAMESPACE}/rolebindings"
    where = f"/apis/rbac.authorization.k8s.io/v1/{kind}"
    body = {
        "metadata": {"name": f"{person.user}-{role['name']}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", **role},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": person.user}],
    }
    stage.connection.call("POST", where, body)


def _holds(stage: Stage) -> bool:
    try:
        return held(_dry_run(stage, "shop"))
    except Refusal as refusal:
        if "nothing held the write" not in str(refusal):
            raise
        return False  # the backstop is in force, the carrier not yet


def _refuses(stage: Stage) -> bool:
    try:
        _dry_run(stage, "")
    except Refusal as refusal:
        return "is empty" in str(refusal)
    return False


def _dry_run(stage: Stage, gate: str) -> dict[str, object]:
    where = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments?dryRun=All"
    answer: dict[str, object] = stage.connection.call("POST", where, deployment("probe", labels={GATE: gate}))
    return answer
