"""Reads one DatabaseMigration and all that belongs to it, live, into an Observation. The only reader."""

import asyncio

from locktender.api.spec import Spec
from locktender.api.status import Run, Status, moment
from locktender.core.errors import ApiError
from locktender.core.key import claim_name
from locktender.core.observation import Claim, GatedDeployment, Observation
from locktender.kube import parse, paths
from locktender.kube.client import Client, JsonObject
from locktender.render.names import is_owned_by, migration_selector
from locktender.settings import ANNOTATION_RESOLVE, ANNOTATION_RETRY, LABEL_GATE

TOKEN_LIMIT = 253  # characters of a retry token that count; the status echoes them


async def observe(client: Client, namespace: str, name: str, lease_namespace: str) -> Observation | None:
    """The world as it is now, None when there is no such DatabaseMigration. Raises ApiError.

    `lease_namespace` is the operator's own, where the claims on databases are. What need not wait for another answer is asked at once:

        DatabaseMigration ---.--> Lease
        pods ----------------|--> Jobs      after the pods: a Job that ended in between shows more than its pod, never less
        Deployments ---------'
    """
    selector = migration_selector(name)
    raw, pods, deployments = await asyncio.gather(
        client.get(paths.migrations(namespace, name)),
        client.list(paths.pods(namespace), selector),
        gated_deployments(client, namespace, name),
    )
    if raw is None:
        return None
    spec, status = parse.spec(raw), parse.status(raw)
    here = {item["metadata"]["name"] for item in deployments}
    jobs, departed, source_gate, (claim, holder, version) = await asyncio.gather(
        client.list(paths.jobs(namespace), selector),
        _departed(client, namespace, status, here),
        _source_gate(client, namespace, spec, here),
        _claim(client, raw, spec, status.run, lease_namespace),
    )
    meta = raw["metadata"]
    annotations, uid = meta.get("annotations") or {}, meta["uid"]
    return Observation(
        namespace=namespace,
        name=name,
        uid=uid,
        generation=meta.get("generation", 0),
        spec=spec,
        status=status,
        retry_token=annotations.get(ANNOTATION_RETRY, "")[:TOKEN_LIMIT],
        resolve=annotations.get(ANNOTATION_RESOLVE, ""),
        deleting=bool(meta.get("deletionTimestamp")),
        finalizers=tuple(meta.get("finalizers") or ()),
        created=moment(meta["creationTimestamp"]),
        deployments=tuple(parse.deployment(item) for item in deployments),
        departed=departed,
        jobs={item["metadata"]["name"]: parse.job(item, pods) for item in jobs if is_owned_by(item, uid)},
        claim=claim,
        claimed_by=holder,
        claim_version=version,
        source_gate=source_gate,
    )


async def _source_gate(client: Client, namespace: str, spec: Spec | str, here: set[str]) -> str:
    """The gate of the Deployment that spec.migration.from names, where it is not at ours. A call only in that case."""
    source = spec.migration.source if isinstance(spec, Spec) else None
    if source is None or source.deployment in here:
        return ""
    raw = await client.get(paths.deployments(namespace, source.deployment))
    return str((raw["metadata"].get("labels") or {}).get(LABEL_GATE, "")) if raw else ""


async def _departed(client: Client, namespace: str, status: Status, here: set[str]) -> tuple[GatedDeployment, ...]:
    """The Deployments of the stored status that are still there and have left every gate. Seldom any, so seldom a call."""
    gone = [item.name for item in status.deployments if item.name not in here]
    found = await asyncio.gather(*(client.get(paths.deployments(namespace, name)) for name in gone))
    return tuple(
        parse.deployment(raw)
        for raw in found
        if raw is not None and LABEL_GATE not in (raw["metadata"].get("labels") or {})
    )


async def _claim(
    client: Client, raw: JsonObject, spec: Spec | str, run: Run | None, lease_namespace: str
) -> tuple[Claim, str, str]:
    """Whose the database is, and the version of the Lease that says so. A claim is as good as the run that made it: one whose run has ended, or is gone, is free."""
    if isinstance(spec, str):
        return Claim.FREE, "", ""
    namespace, uid = raw["metadata"]["namespace"], raw["metadata"]["uid"]
    where = paths.leases(lease_namespace, claim_name(namespace, spec.secret.name, spec.secret.key))
    lease = await client.get(where)
    if lease is None:
        return Claim.FREE, "", ""
    version = str(lease["metadata"]["resourceVersion"])
    parts = (lease.get("spec", {}).get("holderIdentity") or "").split("/")
    if len(parts) != 3:  # name, uid and run id, as ClaimDatabase writes them
        return Claim.FREE, "", version
    name, holder_uid, run_id = parts
    if holder_uid == uid:
        ours = run is not None and run.active and run_id == run.id
        return (Claim.OURS if ours else Claim.FREE), "", version
    other = await client.get(paths.migrations(namespace, name))
    if other is None or other["metadata"]["uid"] != holder_uid:
        return Claim.FREE, "", version
    theirs = parse.status(other).run
    at_work = theirs is not None and theirs.active and theirs.id == run_id
    return (Claim.BUSY, name, version) if at_work else (Claim.FREE, "", version)


async def gated_deployments(client: Client, namespace: str, name: str) -> list[JsonObject]:
    """The Deployments that name this DatabaseMigration. A name too long for a label value can have none."""
    try:
        return await client.list(paths.deployments(namespace), f"{LABEL_GATE}={name}")
    except ApiError as error:
        if error.status == 400:
            return []
        raise
