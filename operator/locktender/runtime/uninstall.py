"""`locktender release-all`: the chart's pre-delete hook. Removes the policies, then releases what is held, then lets finalizers go.

In this order, because a released Deployment would be held again while the policies stand.
"""

import asyncio
import sys
from typing import Any

from locktender.core.errors import ApiError
from locktender.kube import client, paths
from locktender.kube.client import Client, path
from locktender.settings import ANNOTATION_HELD, ANNOTATION_RELEASED, FINALIZER, LABEL_GATE

ADMISSION = "admissionregistration.k8s.io/v1"
POLICY_KINDS = (
    "mutatingwebhookconfigurations",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "validatingadmissionpolicies",
)
POLICY_SELECTOR = "app.kubernetes.io/name=locktender"
PATIENCE = 60.0  # seconds until a Deployment that is held again and again is reported as a failure


def main() -> int:
    """Release everything; 0 when nothing is held any more."""
    try:
        return asyncio.run(release_all())
    except ApiError as error:
        print(f"locktender release-all: {error}", file=sys.stderr)
        return 1


async def release_all() -> int:
    """The three steps, each said on stdout."""
    api = await client.connect()
    try:
        await _remove_policies(api)
        async with asyncio.timeout(PATIENCE):
            while left := await _release_held(api):
                print(f"{left} Deployments are still held; looking again")
                await asyncio.sleep(1.0)
        await _drop_finalizers(api)
    except TimeoutError:
        print(f"Deployments are held again after {PATIENCE:.0f} s: is another gate installed?", file=sys.stderr)
        return 1
    finally:
        await api.close()
    return 0


async def _remove_policies(api: Client) -> None:
    for plural in POLICY_KINDS:
        for item in await api.list(path(ADMISSION, None, plural), POLICY_SELECTOR):
            name = item["metadata"]["name"]
            await api.delete(path(ADMISSION, None, plural, name))
            print(f"deleted {plural}/{name}")


async def _release_held(api: Client) -> int:
    """Release what is held; how many were."""
    held = [item for item in await api.list(paths.deployments(None), LABEL_GATE) if _is_held(item)]
    for item in held:
        meta = item["metadata"]
        word = f"uninstall@{meta['generation']}"
        patch: dict[str, Any] = {
            "metadata": {"annotations": {ANNOTATION_HELD: None, ANNOTATION_RELEASED: word}},
            "spec": {"paused": None},
        }
        await api.patch(paths.deployments(meta["namespace"], meta["name"]), patch, "merge")
        print(f"released deployment {meta['namespace']}/{meta['name']}")
    return len(held)


def _is_held(item: dict[str, Any]) -> bool:
    return (item["metadata"].get("annotations") or {}).get(ANNOTATION_HELD) == "true"


async def _drop_finalizers(api: Client) -> None:
    for item in await api.list(paths.migrations(None)):
        meta = item["metadata"]
        if FINALIZER in (meta.get("finalizers") or ()):
            kept = [name for name in meta["finalizers"] if name != FINALIZER]
            await api.patch(
                paths.migrations(meta["namespace"], meta["name"]), {"metadata": {"finalizers": kept}}, "merge"
            )
            print(f"released databasemigration {meta['namespace']}/{meta['name']} from its finalizer")
