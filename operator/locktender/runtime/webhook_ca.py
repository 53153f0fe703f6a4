"""Copies the CA bundle of the gate's webhook from its ConfigMap into the MutatingWebhookConfiguration.

The webhook publishes whom to trust, and has no right on anything cluster-wide; the operator has, on this one object. Only `caBundle` is
ours: by server-side apply under a field manager of its own, so Helm, GitOps tools and the guard apply the rest without taking it away.
"""

import asyncio
import base64
import logging
import ssl
from collections.abc import Awaitable, Callable

from locktender.core import gate_messages
from locktender.core.errors import ApiError
from locktender.kube import paths
from locktender.kube.client import Client, JsonObject
from locktender.settings import CA_INTERVAL, CA_MANAGER, GATE

log = logging.getLogger("locktender.gate")
KEY = "ca.crt"


async def copy(
    client: Client, namespace: str, config_map: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Copy whenever the two differ, until cancelled. What fails is said once, and tried again."""
    said = ""
    while True:
        try:
            problem = await copy_once(client, namespace, config_map)
        except ApiError as error:
            problem = f"the CA bundle of the gate's webhook cannot be copied: {error}"
        if problem and problem != said:
            log.warning("%s", problem)
        said = problem
        await sleep(CA_INTERVAL)


async def copy_once(client: Client, namespace: str, config_map: str) -> str:
    """One look: what hinders, empty when the configuration has the bundle or does not exist."""
    configuration = await client.get(paths.webhook_configurations(GATE))
    if configuration is None:
        return ""
    found = await client.get(paths.config_maps(namespace, config_map))
    bundle = str(((found or {}).get("data") or {}).get(KEY) or "")
    if not bundle.strip():
        return gate_messages.bundle_missing(namespace, config_map)
    try:
        ssl.create_default_context(cadata=bundle)
    except ssl.SSLError as error:
        return f"{gate_messages.bundle_missing(namespace, config_map)} (what it holds is no certificate: {error})"
    wanted = base64.b64encode(bundle.encode()).decode()
    if any(_bundle_of(item) not in (wanted, None) for item in configuration.get("webhooks") or ()):
        await client.patch(paths.webhook_configurations(GATE), _patch(wanted), "apply", CA_MANAGER)
        log.info("copied the CA bundle of the gate's webhook into its configuration")
    return ""


def _bundle_of(webhook: JsonObject) -> str | None:
    """The bundle of our webhook; None for one that is not ours."""
    return str((webhook.get("clientConfig") or {}).get("caBundle") or "") if webhook.get("name") == GATE else None


def _patch(bundle: str) -> JsonObject:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": GATE},
        "webhooks": [{"name": GATE, "clientConfig": {"caBundle": bundle}}],
    }
