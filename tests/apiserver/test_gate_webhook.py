"""The gate carried by its webhook, on a real API server: what the server is asked, what it never hears of, and what happens without it.

Who may do what is the same expression as in the policies; the behaviour table runs on both carriers.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.apiserver.conftest import Kubectl, until
from tests.apiserver.webhook import Webhook, a_webhook, free_port, sent_to
from tools.cluster.apiserver import ApiServer
from tools.render import render

pytestmark = pytest.mark.apiserver
HELD = "locktender.dev/held"
LONG = "registry.example/" + "a-rather-long-repository-name/" * 7
DIGEST = "@sha256:" + "0123456789abcdef" * 4
_names = (f"web-{number}" for number in itertools.count())


def deployment(name: str, *images: str, **metadata: Any) -> dict[str, Any]:
    containers = [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"locktender.dev/gate": "shop"}, **metadata},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
        },
    }


def held(item: dict[str, Any]) -> bool:
    """Held, or neither paused nor marked."""
    paused = item["spec"].get("paused", False)
    assert paused == (item["metadata"].get("annotations", {}).get(HELD) == "true")
    return bool(paused)


@pytest.fixture(scope="module", params=["1.37.2", "1.35.4"])
def server(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    with ApiServer(version=request.param) as running:
        yield Kubectl(render.program("kubectl"), running.kubeconfig, "default")


@pytest.fixture(scope="module")
def webhook(server: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    with a_webhook(tmp_path_factory.mktemp("certificate")) as running:
        yield running


@pytest.fixture
def kubectl(server: Kubectl, webhook: Webhook) -> Kubectl:
    server("apply", body=webhook.configuration())
    until(lambda: held(server.json("create", "--dry-run=server", body=deployment("probe", "a"))), "the webhook holds")
    return server


class TestHolds:
    def test_a_new_deployment_without_annotations(self, kubectl: Kubectl) -> None:
        assert held(kubectl.json("create", body=deployment(next(_names), "shop:1")))

    def test_a_new_deployment_and_keeps_its_annotations(self, kubectl: Kubectl) -> None:
        made = kubectl.json("create", body=deployment(next(_names), "shop:1", annotations={"team": "shop"}))
        assert held(made)
        assert made["metadata"]["annotations"] == {"team": "shop", HELD: "true"}

    def test_a_new_deployment_that_is_already_paused(self, kubectl: Kubectl) -> None:
        body = deployment(next(_names), "shop:1")
        body["spec"]["paused"] = True
        assert held(kubectl.json("create", body=body))

    def test_a_hold_that_somebody_takes_off(self, kubectl: Kubectl) -> None:
        name = next(_names)
        kubectl("create", body=deployment(name, "shop:1"))
        kubectl("rollout", "resume", f"deployment/{name}")
        assert held(kubectl.json("get", "deployment", name))

    def test_very_many_containers_with_very_long_images(self, kubectl: Kubectl) -> None:
        """CEL's cost limit: 1000 containers, 250 characters each, before and after."""
        name = next(_names)
        first = [f"{LONG}{number}{DIGEST}" for number in range(1000)]
        assert held(kubectl.json("create", body=deployment(name, *first)))
        assert held(kubectl.json("replace", body=deployment(name, *first[:-1], f"{LONG}other{DIGEST}")))


class TestDoesNotHearOf:
    def test_a_deployment_without_the_label(self, kubectl: Kubectl) -> None:
        body = deployment(next(_names), "shop:1")
        del body["metadata"]["labels"]
        assert not held(kubectl.json("create", body=body))


class TestWithTheServerDown:
    @pytest.fixture
    def down(self, kubectl: Kubectl, webhook: Webhook) -> Iterator[Kubectl]:
        kubectl("create", body=deployment("serving", "shop:1"))
        word = {HELD: None, "locktender.dev/released": "test@1"}
        opened = {"metadata": {"annotations": word}, "spec": {"paused": None}}
        kubectl("patch", "deployment", "serving", "--type=merge", f"--patch={json.dumps(opened)}")
        assert not held(kubectl.json("get", "deployment", "serving"))
        kubectl("apply", body=sent_to(free_port(), webhook.bundle))
        until(
            lambda: kubectl.run("create", "--dry-run=server", body=deployment("probe", "a")).returncode != 0,
            "nobody answers",
        )
        yield kubectl
        kubectl("apply", body=webhook.configuration())
        kubectl("delete", "deployment", "serving")

    def test_a_gated_write_fails_and_says_why(self, down: Kubectl) -> None:
        refusal = down.refused("create", body=deployment(next(_names), "shop:1"))
        assert 'failed calling webhook "gate.locktender.dev"' in refusal

    def test_another_image_of_what_serves_fails(self, down: Kubectl) -> None:
        assert "failed calling webhook" in down.refused("set", "image", "deployment/serving", "c0=shop:2")

    def test_what_changes_no_image_passes(self, down: Kubectl) -> None:
        down("scale", "deployment/serving", "--replicas=3")
        down("rollout", "restart", "deployment/serving")
        down("set", "env", "deployment/serving", "COLOR=red")
        down("label", "deployment/serving", "team=shop")

    def test_everything_else_passes(self, down: Kubectl) -> None:
        ungated = deployment(next(_names), "shop:1")
        del ungated["metadata"]["labels"]
        down("create", body=ungated)
        down("create", "configmap", next(_names))
