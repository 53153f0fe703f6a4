"""The operator's copy of the webhook's CA bundle: what is patched, and what is said when it cannot be."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from locktender.core import gate_messages
from locktender.core.errors import ApiError
from locktender.kube.client import Client
from locktender.runtime import webhook_ca
from locktender.webhook.authority import new_authority

BUNDLE = new_authority(datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=365)).certificate.decode()
ENCODED = base64.b64encode(BUNDLE.encode()).decode()


class FakeApi:
    """The two objects, and the patches that were sent."""

    def __init__(self, bundle: str | None, configured: str | None, *, exists: bool = True) -> None:
        self.bundle = bundle
        self.webhook: dict[str, Any] = {"name": "gate.locktender.dev", "clientConfig": {"service": {}}}
        if configured is not None:
            self.webhook["clientConfig"]["caBundle"] = configured
        self.exists = exists
        self.patches: list[tuple[Any, str, str]] = []

    async def get(self, where: str) -> Any:
        if where.endswith("/mutatingwebhookconfigurations/gate.locktender.dev"):
            return {"webhooks": [{"name": "other"}, self.webhook]} if self.exists else None
        assert where == "/api/v1/namespaces/lt/configmaps/ca"
        return None if self.bundle is None else {"data": {"ca.crt": self.bundle}}

    async def patch(self, where: str, body: Any, kind: str, manager: str) -> Any:
        assert where.endswith("/gate.locktender.dev")
        self.patches.append((body, kind, manager))


async def look(api: FakeApi) -> str:
    return await webhook_ca.copy_once(cast("Client", api), "lt", "ca")


@pytest.mark.parametrize("configured", [None, "", "b2xk"])
async def test_copies_the_bundle_and_owns_nothing_else(configured: str | None) -> None:
    api = FakeApi(BUNDLE, configured)
    assert await look(api) == ""
    body = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "gate.locktender.dev"},
        "webhooks": [{"name": "gate.locktender.dev", "clientConfig": {"caBundle": ENCODED}}],
    }
    assert api.patches == [(body, "apply", "locktender-gate-ca")]


async def test_writes_nothing_when_it_is_there() -> None:
    api = FakeApi(BUNDLE, ENCODED)
    assert (await look(api), api.patches) == ("", [])


async def test_writes_nothing_without_a_configuration() -> None:
    api = FakeApi(BUNDLE, None, exists=False)
    assert (await look(api), api.patches) == ("", [])


@pytest.mark.parametrize("bundle", [None, "", "\n", "no certificate"])
async def test_a_bundle_that_is_none_is_never_copied(bundle: str | None) -> None:
    api = FakeApi(bundle, "b2xk")
    assert (await look(api)).startswith(gate_messages.bundle_missing("lt", "ca"))
    assert api.patches == []


async def test_a_refusal_is_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    class Refusing(FakeApi):
        calls = 0

        async def get(self, where: str) -> Any:
            self.calls += 1
            raise ApiError(403, "Forbidden", f"{where} is not for you")

    api = Refusing(BUNDLE, None)

    async def no_sleep(_: float) -> None:
        if api.calls == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await webhook_ca.copy(cast("Client", api), "lt", "ca", no_sleep)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the CA bundle of the gate's webhook cannot be copied"
    ]


def test_what_the_webhook_says_names_the_object_and_what_to_do() -> None:
    assert gate_messages.gate_object_missing("Secret", "lt", "ca") == (
        "Secret ca of namespace lt is gone, and the webhook may not create it. What is served stays as it is. Put it back by helm upgrade "
        "(or kubectl apply of the install file)."
    )
    assert "ca.crt and ca.key in Secret ca of namespace lt are no authority (why)." in gate_messages.authority_unusable(
        "lt", "ca", ("ca.crt", "ca.key"), "why"
    )
    assert "kubectl get mutatingwebhookconfiguration gate.locktender.dev" in gate_messages.authority_settles("ca")
    assert "kubectl -n lt get pods,events -l app.kubernetes.io/component=gate-webhook" in gate_messages.bundle_missing(
        "lt", "ca"
    )
