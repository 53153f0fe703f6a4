"""Reads one DatabaseMigration and all that belongs to it, live, into an Observation. The only reader."""

import asyncio

from locktender.api.spec import Spec
from locktender.api.status import Status
from locktender.core.errors import ApiError
from locktender.core.key import claim_name
from locktender.core.observation import Claim, Observation
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
    spec, status = parse.spec(raw), parse.status(raw)
    claim, holder = await _claim(client, namespace, uid, spec, status)
    return Observation(
        namespace=namespace,
        name=name,
        uid=uid,
        generation=meta.get("generation", 0),
        spec=spec,
        status=status,
        retry_token=annotations.get(ANNOTATION_RETRY, ""),
        resolve=annotations.get(ANNOTATION_RESOLVE, ""),
        deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(meta.get("finalizers") or ()),
        deployments=tuple(parse.deployment(item) for item in deployments),
        jobs={item["metadata"]["name"]: parse.job(item, pods) for item in jobs},
        claim=claim,
        claimed_by=holder,
    )


async def _claim(client: Client, namespace: str, uid: str, spec: Spec | str, status: Status) -> tuple[Claim, str]:
    """Whose the database is. A claim is as good as the run that made it: one whose run has ended, or is gone, is free.

    Only read while a run of ours is under way; nobody else asks.
    """
    run = status.run
    if isinstance(spec, str) or run is None or not run.active:
        return Claim.FREE, ""
    lease = await client.get(paths.leases(namespace, claim_name(spec.secret.name, spec.secret.key)))
    parts = ((lease or {}).get("spec", {}).get("holderIdentity") or "").split("/")
    if len(parts) != 3:  # name, uid and run id, as ClaimDatabase writes them
        return Claim.FREE, ""
    name, holder_uid, run_id = parts
    if holder_uid == uid:
        return (Claim.OURS if run_id == run.id else Claim.FREE), ""
    other = await client.get(paths.migrations(namespace, name))
    if other is None or other["metadata"]["uid"] != holder_uid:
        return Claim.FREE, ""
    theirs = parse.status(other).run
    return (Claim.BUSY, name) if theirs and theirs.active and theirs.id == run_id else (Claim.FREE, "")


async def gated_deployments(client: Client, namespace: str, name: str) -> list[JsonObject]:
    """The Deployments that name this DatabaseMigration. A name too long for a label value can have none."""
    try:
        return await client.list(paths.deployments(namespace), f"{LABEL_GATE}={name}")
    except ApiError as error:
        if error.status == 400:
            return []
        raise
