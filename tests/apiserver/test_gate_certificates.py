"""The webhook's own certificates on a real API server: two replicas, the chart's own rights, and gated writes that go on meanwhile.

Lives are seconds here instead of days; everything else is as it runs.
"""

import asyncio
import base64
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from locktender.kube import paths
from locktender.kube.client import Client
from locktender.settings import CertificateTimes
from locktender.webhook.rotation import read_bundle
from tests.apiserver.conftest import Kubectl
from tests.apiserver.fleet import AUTHORITY, Fleet, a_fleet, gate_holds, under_load, until
from tools.cluster.apiserver import ApiServer
from tools.render import render

pytestmark = [
    pytest.mark.apiserver,
    # The webhook runs in this process; TLS connections that an API server keeps open are cut with the test's event loop.
    pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning"),
]
SHORT = CertificateTimes(
    authority=timedelta(seconds=24),
    overlap=timedelta(seconds=5),
    serving=timedelta(seconds=6),
    settle=timedelta(seconds=4),
    look=timedelta(seconds=0.5),
)
SOON = CertificateTimes(settle=timedelta(seconds=4), look=timedelta(seconds=0.5))
SECRET = paths.secrets(render.NAMESPACE, AUTHORITY)
CONFIG_MAP = paths.config_maps(render.NAMESPACE, AUTHORITY)


@pytest.fixture(scope="module")
def server() -> Iterator[Kubectl]:
    with ApiServer() as running:
        yield Kubectl(render.program("kubectl"), running.kubeconfig)


@pytest.fixture
def kubectl(server: Kubectl) -> Iterator[Kubectl]:
    """The chart on the webhook carrier, its Secret and ConfigMap empty."""
    server("apply", "--server-side", "--force-conflicts", f"--filename={render.INSTALL_WEBHOOK}")
    yield server
    server("delete", "mutatingwebhookconfiguration", "gate.locktender.dev")
    for kind in ("secrets", "configmaps", "endpointslices"):
        server("delete", kind, "--all", f"--namespace={render.NAMESPACE}")
    server("delete", "deployments", "--all", "--namespace=default")


async def stored(client: Client) -> dict[str, str]:
    """What the Secret holds, decoded."""
    secret = await client.get(SECRET)
    return {name: base64.b64decode(value).decode() for name, value in ((secret or {}).get("data") or {}).items()}


async def published(client: Client) -> tuple[x509.Certificate, ...]:
    config_map = await client.get(CONFIG_MAP)
    return read_bundle(((config_map or {}).get("data") or {}).get("ca.crt", ""))


async def configured(client: Client) -> tuple[x509.Certificate, ...]:
    found = await client.get(paths.webhook_configurations("gate.locktender.dev"))
    assert found is not None
    return read_bundle(base64.b64decode(found["webhooks"][0]["clientConfig"].get("caBundle", "")).decode())


async def two_replicas(fleet: Fleet) -> None:
    """Started at once."""
    await asyncio.gather(fleet.start("a"), fleet.start("b"))
    await fleet.ready("a", "b")
    await gate_holds(fleet.admin)


async def test_two_replicas_that_start_at_once_agree_on_one_authority(kubectl: Kubectl, tmp_path: Path) -> None:
    async with a_fleet(kubectl, tmp_path, SOON) as fleet:
        await two_replicas(fleet)
        data = await stored(fleet.admin)
        assert set(data) == {"ca.crt", "ca.key"}
        one = (x509.load_pem_x509_certificate(data["ca.crt"].encode()),)
        assert (await published(fleet.admin), await configured(fleet.admin)) == (one, one)


async def test_rotation_refuses_no_write_and_lets_none_through(kubectl: Kubectl, tmp_path: Path) -> None:
    async with a_fleet(kubectl, tmp_path, SHORT) as fleet:
        await two_replicas(fleet)
        (first,) = await published(fleet.admin)

        async def forgotten() -> bool:
            return first not in await configured(fleet.admin)

        async with under_load(fleet.admin) as load:
            await until(forgotten, "the first authority has ended", 60)
        assert load.wrong == []
        assert load.writes > 300
        assert len(await published(fleet.admin)) in (1, 2)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"ca.crt": "bm90IGEgY2VydGlmaWNhdGU=", "ca.key": "bm90IGEga2V5"},
        {"ca.crt": "", "other": "a2VwdA=="},
    ],
    ids=["wiped", "malformed", "half empty"],
)
async def test_a_lost_secret_heals_and_no_write_is_refused(
    kubectl: Kubectl, tmp_path: Path, data: dict[str, str] | None
) -> None:
    async with a_fleet(kubectl, tmp_path, SOON) as fleet:
        await two_replicas(fleet)
        (first,) = await published(fleet.admin)
        async with under_load(fleet.admin) as load:
            secret = await fleet.admin.get(SECRET)
            assert secret is not None
            secret["data"] = data
            await fleet.admin.replace(SECRET, secret)

            async def healed() -> bool:
                return len(await configured(fleet.admin)) == 2 and "ca.key" in await stored(fleet.admin)

            await until(healed, "a second authority is trusted")
            # A replica that starts now has only the new authority to sign with.
            await fleet.start("c")
            await fleet.ready("c")
            await fleet.leave("a")
            await fleet.leave("b")
            before = load.writes
            await until(lambda: _more(load, before + 40), "writes go on")
        assert load.wrong == []
        assert first in await configured(fleet.admin)
        assert (await stored(fleet.admin)).get("other") == ("kept" if data and "other" in data else None)


async def test_a_lost_config_map_heals(kubectl: Kubectl, tmp_path: Path) -> None:
    async with a_fleet(kubectl, tmp_path, SOON) as fleet:
        await two_replicas(fleet)
        whole = await fleet.admin.get(CONFIG_MAP)

        async def as_before() -> bool:
            found = await fleet.admin.get(CONFIG_MAP)
            return (found or {}).get("data") == (whole or {})["data"]

        async with under_load(fleet.admin) as load:
            for content in ({}, {"ca.crt": "-----BEGIN CERTIFICATE-----\nbm90\n-----END CERTIFICATE-----\n"}):
                config_map = await fleet.admin.get(CONFIG_MAP)
                assert config_map is not None
                config_map["data"] = content
                await fleet.admin.replace(CONFIG_MAP, config_map)
                await until(as_before, "the bundle is published again")
        assert load.wrong == []


async def test_without_the_secret_it_says_what_to_do_and_serves_on(kubectl: Kubectl, tmp_path: Path) -> None:
    async with a_fleet(kubectl, tmp_path, SOON) as fleet:
        await two_replicas(fleet)
        await fleet.admin.delete(SECRET)
        await fleet.start("c")
        expected = f"Secret {AUTHORITY} of namespace {render.NAMESPACE} is gone, and the webhook may not create it."
        await until(lambda: _says(fleet, "c", expected), expected)
        async with under_load(fleet.admin) as load:
            await until(lambda: _more(load, 40), "writes go on")
        assert load.wrong == []
        kubectl("apply", "--server-side", "--force-conflicts", f"--filename={render.INSTALL_WEBHOOK}")
        await fleet.ready("c")


async def test_replicas_are_replaced_without_a_refused_write(kubectl: Kubectl, tmp_path: Path) -> None:
    async with a_fleet(kubectl, tmp_path, SOON) as fleet:
        await two_replicas(fleet)
        async with under_load(fleet.admin) as load:
            for new, old in (("c", "a"), ("d", "b"), ("e", "c")):
                await fleet.start(new)
                await fleet.ready(new)
                await fleet.leave(old)
        assert load.wrong == []
        assert load.writes > 100


async def test_an_upgrade_of_the_chart_leaves_secret_and_bundle_alone(kubectl: Kubectl, tmp_path: Path) -> None:
    async with a_fleet(kubectl, tmp_path, SOON) as fleet:
        await two_replicas(fleet)
        before = [await fleet.admin.get(where) for where in (SECRET, CONFIG_MAP)]
        trusted = await configured(fleet.admin)
        server_side = ("apply", "--server-side", "--force-conflicts")
        for how in (server_side, ("apply",), server_side):
            objects = [
                item
                for item in yaml.safe_load_all(render.INSTALL_WEBHOOK.read_text())
                if item and item["kind"] in ("Secret", "ConfigMap", "MutatingWebhookConfiguration")
            ]
            kubectl(*how, body=yaml.safe_dump_all(objects))
            after = [await fleet.admin.get(where) for where in (SECRET, CONFIG_MAP)]
            assert [(item or {}).get("data") for item in after] == [(item or {}).get("data") for item in before]
            assert await configured(fleet.admin) == trusted


async def _more(load: Any, count: int) -> bool:
    return bool(load.writes >= count)


async def _says(fleet: Fleet, name: str, words: str) -> bool:
    return words in await fleet.words(name)
