"""Reads one DatabaseMigration and all that belongs to it, live, into an Observation. The only reader."""

import asyncio

from locktender.core.errors import ApiError
from locktender.core.observation import Observation
from locktender.kube import parse, paths
from locktender.kube.client import Client, JsonObject
from locktender.render.names import owner_selector
from locktender.settings import ANNOTATION_RESOLVE, ANNOTATION_RETRY, LABEL_GATE


async def observe(client: Client, namespace: str, name: str) -> Observation | None:
    """The world as it is now, None when there is no such DatabaseMigration. Raises ApiError."""
    raw = await client.get(paths.migrations(namespace, name))
    if raw is None:
        return None
    return await _complete(client, raw)


async def _complete(client: Client, raw: JsonObject) -> Observation:
    meta = raw["metadata"]
    namespace, name, uid = meta["namespace"], meta["name"], meta["uid"]
    # Pods are read before Jobs: a Job that ended in between shows more than its pod, never less.
    pods = await client.list(paths.pods(namespace), owner_selector(uid))
    jobs, deployments = await asyncio.gather(
        client.list(paths.jobs(namespace), owner_selector(uid)),
        gated_deployments(client, namespace, name),
    )
    annotations = meta.get("annotations") or {}
    return Observation(
        namespace=namespace,
        name=name,
        uid=uid,
        generation=meta.get("generation", 0),
        spec=parse.spec(raw),
        status=parse.status(raw),
        retry_token=annotations.get(ANNOTATION_RETRY, ""),
        resolve=annotations.get(ANNOTATION_RESOLVE, ""),
        deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(meta.get("finalizers") or ()),
        deployments=tuple(parse.deployment(item) for item in deployments),
        jobs={item["metadata"]["name"]: parse.job(item, pods) for item in jobs},
    )


async def gated_deployments(client: Client, namespace: str, name: str) -> list[JsonObject]:
    """The Deployments that name this DatabaseMigration. A name too long for a label value can have none."""
    try:
        return await client.list(paths.deployments(namespace), f"{LABEL_GATE}={name}")
    except ApiError as error:
        if error.status == 400:
            return []
        raise
