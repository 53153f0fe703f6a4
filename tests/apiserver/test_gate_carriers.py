"""The gate on its way from the webhook to the policy, by Helm itself, while gated writes go on without a pause.

What a cluster does when it is upgraded past 1.36: the chart was installed with the webhook, and every `helm upgrade` after that is one step.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from locktender.kube.client import path
from locktender.settings import CertificateTimes
from tests.apiserver.conftest import Kubectl
from tests.apiserver.fleet import NAME, a_fleet, account, gate_holds, gated, under_load
from tools.cluster.apiserver import ApiServer
from tools.render import render

pytestmark = [
    pytest.mark.apiserver,
    # The webhook runs in this process; TLS connections that an API server keeps open are cut with the test's event loop.
    pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"),
]
SOON = CertificateTimes(settle=timedelta(seconds=4), look=timedelta(seconds=0.5))


@pytest.fixture
def server() -> Iterator[Kubectl]:
    with ApiServer() as running:
        yield Kubectl(render.program("kubectl"), running.kubeconfig)


def helm(server: Kubectl, *arguments: str) -> None:
    """Run helm against the server; its own words when it fails."""
    done = render.helm(*arguments, "--kubeconfig", server.kubeconfig, "--namespace", render.NAMESPACE)
    assert done.returncode == 0, done.stderr


async def upgrade(server: Kubectl, carrier: str) -> tuple[set[str], bool]:
    """`helm upgrade`; what carries the gate then, and whether the webhook's server is there."""
    await asyncio.to_thread(
        helm, server, "upgrade", "locktender", render.CHART, "--set", f"gate.carrier={carrier}", "--history-max=2"
    )
    return await asyncio.to_thread(carriers, server)


def carriers(server: Kubectl) -> tuple[set[str], bool]:
    kinds = "mutatingadmissionpolicies,mutatingwebhookconfigurations"
    found = {item["kind"] for item in server.json("get", kinds)["items"]}
    deployments = server.json("get", "deployments,services,secrets", f"--namespace={render.NAMESPACE}")["items"]
    names = {item["metadata"]["name"] for item in deployments}
    return found, NAME in names


def install(server: Kubectl, carrier: str) -> None:
    helm(server, "install", "locktender", render.CHART, "--create-namespace", "--set", f"gate.carrier={carrier}")


WEBHOOK, POLICY = "MutatingWebhookConfiguration", "MutatingAdmissionPolicy"


async def test_from_the_webhook_to_the_policy_without_a_gap(server: Kubectl, tmp_path: Path) -> None:
    install(server, "webhook")
    assert carriers(server) == ({WEBHOOK}, True)
    async with a_fleet(server, tmp_path, SOON) as fleet:
        await asyncio.gather(fleet.start("a"), fleet.start("b"))
        await fleet.ready("a", "b")
        await gate_holds(fleet.admin)
        async with under_load(fleet.admin) as load:
            assert await upgrade(server, "webhook") == ({WEBHOOK}, True)
            assert await upgrade(server, "auto") == ({WEBHOOK, POLICY}, True), "both, until the policy is in force"
            assert await upgrade(server, "auto") == ({POLICY}, True), (
                "the server stays one upgrade longer than what calls it"
            )
            await fleet.leave("a")
            await fleet.leave("b")
            assert await upgrade(server, "auto") == ({POLICY}, False)
        assert load.wrong == []
        assert load.writes > 200


async def test_until_the_webhook_is_trusted_nothing_passes_unheld(server: Kubectl, tmp_path: Path) -> None:
    """The first install: what should be held is refused at first, and held from then on."""
    install(server, "webhook")
    async with a_fleet(server, tmp_path, SOON) as fleet:
        async with under_load(fleet.admin) as load:
            await asyncio.gather(fleet.start("a"), fleet.start("b"))
            await fleet.ready("a", "b")
            await gate_holds(fleet.admin)
            refused = len(load.wrong)
        assert load.wrong[refused:] == []
        assert {_why(word) for word in load.wrong} <= {"failed calling webhook"}


async def test_uninstalling_the_webhook_leaves_nothing_held(server: Kubectl, tmp_path: Path) -> None:
    install(server, "webhook")
    async with a_fleet(server, tmp_path, SOON) as fleet:
        await fleet.start("a")
        await fleet.ready("a")
        await gate_holds(fleet.admin)
        made = await fleet.admin.create(path("apps/v1", "default", "deployments"), gated("web", "shop:1"))
        assert made["spec"]["paused"] is True
        manifest = render.helm_template(
            "--set=gate.carrier=webhook", "--show-only=templates/uninstall/release-all.yaml"
        )
        await asyncio.to_thread(partial(server, "apply", body=_without_the_job(manifest)))
        done = await asyncio.to_thread(_release_all, account(server, "locktender-release-all", tmp_path))
        assert done.returncode == 0, done.stderr
    helm(server, "uninstall", "locktender", "--no-hooks")
    web = server.json("get", "deployment", "web", "--namespace=default")
    assert "paused" not in web["spec"]
    assert carriers(server) == (set(), False)
    server("set", "image", "deployment/web", "c0=shop:2", "--namespace=default")


def _without_the_job(manifest: str) -> str:
    return "\n---\n".join(part for part in manifest.split("\n---\n") if "kind: Job" not in part)


def _release_all(kubeconfig: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "locktender", "release-all"],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def _why(word: str) -> str:
    return "failed calling webhook" if "failed calling webhook" in word else word
