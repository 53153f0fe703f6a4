"""Carries actions out against the API server. The only writer. Every action may be repeated without harm."""

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from locktender.api.status import Status, to_json
from locktender.core.actions import (
    Action,
    ClaimDatabase,
    DeleteJob,
    EmitEvent,
    EnsureBackup,
    EnsureJob,
    ExpireJob,
    ReleaseDeployment,
    SetFinalizer,
    StoreReport,
)
from locktender.core.errors import ApiError, JobRefused, NameTaken, ReleaseRefused, Stale
from locktender.core.key import claim_name
from locktender.core.messages import job_refused, name_taken, release_forbidden, release_refused, untrusted
from locktender.core.observation import Observation
from locktender.kube import paths, reports
from locktender.kube.client import Client
from locktender.render import jobs
from locktender.settings import (
    ANNOTATION_HELD,
    ANNOTATION_RELEASED,
    FINALIZER,
    GROUP,
    LABEL_OWNER,
    MANAGED_BY,
    VERSION,
    ImageVolumes,
    Settings,
)
from locktender.telemetry import events

REFUSALS = (400, 403, 413, 422)  # HTTP statuses that say no to this very Job, now and until somebody changes something
log = logging.getLogger("locktender.act")
TELL_AGAIN = 1800.0  # seconds until what still holds is sent again: the API server forgets Events after an hour, and a hold may last longer
TOLD_LIMIT = 20_000  # Events remembered as posted: about 5 MB; a forgotten one costs a call answered with 409
IMAGE_VOLUMES_SINCE = (
    36  # minor version whose API serves image volumes without a feature gate, with a runtime that must have them
)


@dataclass(frozen=True)
class Actor:
    """Writes for one process. `server_minor` is the API server's minor version."""

    client: Client
    settings: Settings
    server_minor: int
    clock: Callable[[], float] = time.monotonic
    _told: OrderedDict[tuple[str, str, str], float] = field(default_factory=OrderedDict)

    @property
    def image_volumes(self) -> bool:
        """Whether to mount migrations straight from the application's image."""
        if self.settings.image_volumes is ImageVolumes.AUTO:
            return self.server_minor >= IMAGE_VOLUMES_SINCE
        return self.settings.image_volumes is ImageVolumes.ALWAYS

    async def perform(self, observation: Observation, action: Action) -> str | None:
        """Carry out one action; the uid of the Job for EnsureJob, the name for StoreReport. Raises one of core/errors.py."""
        match action:
            case EnsureJob():
                return await self._ensure_job(observation, action)
            case ClaimDatabase(run_id, version):
                await self._claim_database(observation, run_id, version)
            case ExpireJob(name, seconds):
                await self._expire_job(observation, name, seconds)
            case DeleteJob(name, uid):
                await self.client.delete(paths.jobs(observation.namespace, name), uid)
            case EnsureBackup():
                await self._ensure_backup(observation, action)
            case StoreReport():
                return await reports.store(self.client, observation, action)
            case ReleaseDeployment():
                await self._release(observation.namespace, action)
            case SetFinalizer(present):
                await self._set_finalizer(observation, present=present)
            case EmitEvent():
                await self._tell(observation, action)
        return None

    async def write_status(self, observation: Observation, status: Status) -> bool:
        """Store the status by server-side apply if it differs from what was observed. True when a write was made."""
        content = to_json(status)
        if content == to_json(observation.status):
            return False
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "DatabaseMigration",
            "metadata": {"name": observation.name, "namespace": observation.namespace, "uid": observation.uid},
            "status": content,
        }
        try:
            await self.client.patch(paths.migrations(observation.namespace, observation.name, "status"), body, "apply")
        except ApiError as error:
            if error.status in (404, 409):  # deleted, or deleted and made anew, since we looked
                raise Stale(f"DatabaseMigration {observation.name} changed while its status was written") from error
            raise
        return True

    async def _tell(self, observation: Observation, action: EmitEvent) -> None:
        """Post an Event; what this process has told lately is not sent again. An Event that is refused stops nothing."""
        identity = (action.deployment_uid or observation.uid, str(action.reason), action.fact)
        if self.clock() - self._told.get(identity, -TELL_AGAIN) < TELL_AGAIN:
            return
        try:
            await events.post(
                self.client, observation.namespace, events.about(observation, action), self.settings.pod_name
            )
        except ApiError as error:
            log.warning("%s/%s: Event %s not posted: %s", observation.namespace, observation.name, action.reason, error)
            return
        self._told[identity] = self.clock()
        self._told.move_to_end(identity)
        if len(self._told) > TOLD_LIMIT:
            self._told.popitem(last=False)

    async def _ensure_job(self, observation: Observation, action: EnsureJob) -> str:
        body = jobs.job(
            action,
            observation.namespace,
            observation.name,
            observation.uid,
            self.settings,
            image_volumes=self.image_volumes,
        )
        try:
            made = await self.client.create(paths.jobs(observation.namespace), body)
        except ApiError as error:
            if error.status in REFUSALS:
                raise JobRefused(action.step, job_refused(action.name, untrusted(str(error)))) from error
            if error.status != 409:
                raise
            there = await self.client.get(paths.jobs(observation.namespace, action.name))
            if there is None:
                raise Stale(f"Job {action.name} was there and is gone") from error
            if (there["metadata"].get("labels") or {}).get(LABEL_OWNER) != observation.uid:
                raise NameTaken(action.step, name_taken(action.name, observation.namespace)) from error
            made = there
        return str(made["metadata"]["uid"])

    async def _claim_database(self, observation: Observation, run_id: str, version: str) -> None:
        """Write our run into the Lease, if it is still the one that was free when we looked."""
        if isinstance(observation.spec, str):
            return
        secret, home = observation.spec.secret, self.settings.lease_namespace
        name = claim_name(observation.namespace, secret.name, secret.key)
        meta = {"name": name, "namespace": home, "labels": dict([MANAGED_BY])}
        holder = {"holderIdentity": f"{observation.name}/{observation.uid}/{run_id}"}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": holder}
        try:
            if version:
                body["metadata"] = {**meta, "resourceVersion": version}
                await self.client.replace(paths.leases(home, name), body)
            else:
                await self.client.create(paths.leases(home), body)
        except ApiError as error:
            if error.status in (404, 409):
                raise Stale("another run claimed the database first") from error
            raise

    async def _expire_job(self, observation: Observation, name: str, seconds: int) -> None:
        try:
            await self.client.patch(
                paths.jobs(observation.namespace, name), {"spec": {"ttlSecondsAfterFinished": seconds}}, "merge"
            )
        except ApiError as error:
            if error.status != 404:
                raise

    async def _ensure_backup(self, observation: Observation, action: EnsureBackup) -> None:
        body, status = jobs.backup_object(action, observation.namespace, observation.name, observation.uid, action.spec)
        try:
            await self.client.create(paths.backups(observation.namespace), body)
        except ApiError as error:
            if error.status != 409:
                raise
        head = {name: body[name] for name in ("apiVersion", "kind")}
        patch = {**head, "metadata": {"name": action.name, "namespace": observation.namespace}, "status": status}
        await self.client.patch(paths.backups(observation.namespace, action.name, "status"), patch, "apply")

    async def _release(self, namespace: str, action: ReleaseDeployment) -> None:
        """Open the gate if, and only if, the Deployment still is the one that the verdict is about. One call: people wait for it."""
        try:
            after = await self.client.patch(paths.deployments(namespace, action.name), _release_patch(action), "json")
        except ApiError as error:
            if error.status in (409, 422, 404):
                raise Stale(f"Deployment {action.name} is not what was judged any more, or is open already") from error
            if error.status == 403:
                raise ReleaseRefused(release_forbidden(action.name, namespace, untrusted(str(error)))) from error
            raise
        if (after["metadata"].get("annotations") or {}).get(ANNOTATION_HELD) == "true":
            raise ReleaseRefused(release_refused(action.name))

    async def _set_finalizer(self, observation: Observation, *, present: bool) -> None:
        where = paths.migrations(observation.namespace, observation.name)
        kept = [name for name in observation.finalizers if name != FINALIZER]
        wanted = [*kept, FINALIZER] if present else kept
        raw = {"metadata": {"uid": observation.uid, "finalizers": wanted}}
        try:
            await self.client.patch(where, raw, "merge")
        except ApiError as error:
            if error.status not in (404, 409):
                raise


def _release_patch(action: ReleaseDeployment) -> list[dict[str, Any]]:
    """Tests on the hold, on every image and on the generation that was judged (it counts every write to the spec), then the release.

    `released` says that it is meant: it ends in the generation of the object that it opens (charts/locktender/templates/_gate.tpl).
    """
    held, spec = f"/metadata/annotations/{_pointer(ANNOTATION_HELD)}", "/spec/template/spec"
    tests = [
        *((f"{spec}/containers/{n}/image", image) for n, image in enumerate(action.images)),
        *((f"{spec}/initContainers/{n}/image", image) for n, image in enumerate(action.init_images)),
    ]
    token = f"{action.run_id}@{action.generation}"
    return [
        {"op": "test", "path": "/metadata/generation", "value": action.generation},
        {"op": "test", "path": held, "value": "true"},
        *({"op": "test", "path": where, "value": image} for where, image in tests),
        {"op": "remove", "path": held},
        {"op": "add", "path": f"/metadata/annotations/{_pointer(ANNOTATION_RELEASED)}", "value": token},
        {"op": "remove", "path": "/spec/paused"},
    ]


def _pointer(name: str) -> str:
    """A JSON pointer segment."""
    return name.replace("~", "~0").replace("/", "~1")
