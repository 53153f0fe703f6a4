"""The wheel: take a key, observe, decide, act, store the status. Workers turn it; a full list every few minutes catches what a watch missed."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from locktender.api.conditions import Reason
from locktender.api.status import Status
from locktender.core import decide, gate_messages, housekeeping, messages, summary
from locktender.core.actions import EmitEvent, EnsureBackup, EnsureJob, ReleaseDeployment, StoreReport
from locktender.core.errors import ApiError, JobProblem, LocktenderError, NameTaken, ReleaseRefused, Stale
from locktender.core.observation import Claim, GatedDeployment, Observation, OpenedBy
from locktender.core.onward import onward
from locktender.core.runs import AT_ONCE
from locktender.kube import observe, parse, paths
from locktender.kube.act import Actor
from locktender.kube.client import JsonObject
from locktender.render.names import MANAGED_SELECTOR
from locktender.runtime.followers import Followers
from locktender.runtime.queue import Key, WorkQueue
from locktender.runtime.reporter import Reporter
from locktender.settings import EVENT_LIFETIME, LABEL_GATE, LABEL_MIGRATION, RESYNC_INTERVAL
from locktender.telemetry import events
from locktender.telemetry.metrics import Metrics

log = logging.getLogger("locktender.reconciler")
ORPHAN_PATIENCE = (
    10.0  # seconds a held Deployment may wait for its DatabaseMigration to be applied before it is worth a warning
)
PASSES_IN_A_ROW = (
    8  # a run needs no more from one wait to the next; the bound gives other keys their turn whatever happens
)


@dataclass
class Reconciler:
    """One process's work on all DatabaseMigrations that it may see."""

    actor: Actor
    queue: WorkQueue
    metrics: Metrics
    namespaces: tuple[str, ...] = ()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    on_sign_of_life: Callable[[], None] = lambda: None
    followers: Followers | None = None
    reporter: Reporter | None = None
    _waiting_for: dict[Key, set[Key]] = field(default_factory=dict)
    _known: set[Key] = field(default_factory=set)

    async def work(self) -> None:
        """One worker. Runs until cancelled."""
        while True:
            key, waited = await self.queue.get()
            self.metrics.waited(waited)
            log.debug("%s/%s: woken, %.0f ms in the queue", *key, 1000 * waited)
            started = time.monotonic()
            try:
                await self._guarded(key)
            finally:
                self.metrics.reconciled(time.monotonic() - started)
                self.queue.done(key)

    async def _guarded(self, key: Key) -> None:
        """One pass, with every error turned into a later pass."""
        try:
            requeue = await self.reconcile(key)
        except Stale as reason:
            log.info("%s/%s: %s; looking again", *key, reason)
            self.metrics.failed("stale")
            self.queue.failed(key)
        except LocktenderError as error:
            delay = self.queue.failed(key)
            log.warning("%s/%s: %s; again in %.1f s", *key, error, delay)
            self.metrics.failed(type(error).__name__)
        except Exception:
            delay = self.queue.failed(key)
            log.exception("%s/%s: unexpected error; again in %.1f s", *key, delay)
            self.metrics.failed("unexpected")
        else:
            self.queue.succeeded(key)
            if requeue is not None:
                self.queue.add(key, requeue)

    async def reconcile(self, key: Key) -> float | None:
        """Look once, then pass after pass for as long as one follows at once from another; the seconds until the next look is wanted."""
        namespace, name = key
        observation = await observe.observe(self.actor.client, namespace, name, self.actor.settings.lease_namespace)
        if observation is None:
            return await self._orphans(namespace, name)
        log.debug("%s/%s: looked", namespace, name)
        self._known.add(key)
        if observation.claim is Claim.BUSY:
            self._waiting_for.setdefault((namespace, observation.claimed_by), set()).add(key)
        told: list[EmitEvent] = []
        try:
            requeue = await self._passes(observation, told)
        except LocktenderError:
            await self._tell(observation, told)
            raise
        await self._tell(observation, told)
        return requeue

    async def _passes(self, observation: Observation, told: list[EmitEvent]) -> float | None:
        """Passes over one DatabaseMigration, each with its status stored before the next one acts. What is to be told goes into `told`."""
        for _ in range(PASSES_IN_A_ROW):
            decision = decide.decide(observation, self.now())
            status = await self._pass(observation, decision, told)
            done = [type(action).__name__ for action in decision.actions if not isinstance(action, EmitEvent)]
            log.debug(
                "%s/%s: a pass is over: %s", observation.namespace, observation.name, ", ".join(done) or "nothing"
            )
            told += [action for action in decision.actions if isinstance(action, EmitEvent)]
            following = onward(observation, status, decision.actions)
            if decision.requeue != AT_ONCE or following is None:
                return decision.requeue
            observation = following
        return AT_ONCE

    async def _pass(self, observation: Observation, decision: decide.Decision, told: list[EmitEvent]) -> Status:
        """Act, then store the status; the status that was stored. A refusal is stored and told too, before it is raised."""
        try:
            status = await self._act(observation, decision)
        except JobProblem as problem:
            reason = Reason.NAME_CONFLICT if isinstance(problem, NameTaken) else Reason.JOB_REFUSED
            refused = summary.without_job(observation, problem.step, reason, str(problem), self.now())
            await self._store(observation, refused)
            told += housekeeping.hold_events(observation, refused)
            raise
        except ReleaseRefused as problem:
            refused = summary.stalled(observation, observation.status, Reason.RELEASE_REFUSED, str(problem), self.now())
            await self._store(observation, refused)
            told += housekeeping.hold_events(observation, refused)
            raise
        await self._store(observation, status)
        return status

    async def _tell(self, observation: Observation, told: list[EmitEvent]) -> None:
        """Post Events. Last, because what is told must have happened, and because nothing depends on it."""
        for action in told:
            await self.actor.perform(observation, action)

    async def _act(self, observation: Observation, decision: decide.Decision) -> Status:
        """Carry out everything but the Events; the status to store, with the uids of the Jobs that were made."""
        status = decision.status
        for action in decision.actions:
            if isinstance(action, EmitEvent):
                continue
            if isinstance(action, StoreReport):
                report = self.reporter.made(observation, action) if self.reporter else ""
                if report and status.run is not None:
                    status = replace(status, run=status.run.with_report(action.name, report))
                continue
            uid = await self.actor.perform(observation, action)
            if isinstance(action, EnsureJob) and status.run is not None and uid is not None:
                status = replace(status, run=status.run.with_job(action.name, uid))
            elif isinstance(action, ReleaseDeployment):
                self.metrics.released()
            elif isinstance(action, EnsureBackup):
                self.metrics.backup_stored(observation, int(dict(action.facts)["sizeBytes"]), action.free)
        return status

    async def _store(self, observation: Observation, status: Status) -> None:
        if await self.actor.write_status(observation, status):
            self.metrics.status_stored(observation, status)
            ready = status.condition("Ready")
            if ready is not None:
                log.info(
                    "%s/%s: Ready=%s %s: %s",
                    observation.namespace,
                    observation.name,
                    ready.status,
                    ready.reason,
                    ready.message,
                )
        self.metrics.show(observation, status)
        if self.followers:
            self.followers.see(observation, status)
        if status.run is None or not status.run.active:
            for waiting in self._waiting_for.pop((observation.namespace, observation.name), ()):
                self.queue.add(waiting)

    async def _orphans(self, namespace: str, name: str) -> float | None:
        """No such DatabaseMigration: tell the Deployments that wait for it, once they have waited for a moment."""
        if (namespace, name) in self._known:
            self._known.discard((namespace, name))
            if self.followers:
                self.followers.gone((namespace, name))
            self.metrics.forget(namespace, name)
        for raw in await observe.gated_deployments(self.actor.client, namespace, name):
            deployment = parse.deployment(raw)
            waited = (self.now() - deployment.held_since).total_seconds() if deployment.held_since else ORPHAN_PATIENCE
            if deployment.held and waited < ORPHAN_PATIENCE:
                return ORPHAN_PATIENCE - waited
            if deployment.held:
                since = deployment.held_since.isoformat() if deployment.held_since else ""
                text = gate_messages.no_migration_for(name, namespace)
                await self._tell_orphan(namespace, deployment, Reason.HELD, text, f"orphan/{since}")
            elif self._bypassed_lately(raw, deployment):
                text = gate_messages.bypassed_orphan(
                    deployment.name, deployment.images, deployment.word.said if deployment.word else "", name, namespace
                )
                fact = f"bypass/{deployment.name}/{deployment.word}"
                if await self._tell_orphan(namespace, deployment, Reason.GATE_BYPASSED, text, fact):
                    self.metrics.bypassed()
        return None

    def _bypassed_lately(self, raw: JsonObject, deployment: GatedDeployment) -> bool:
        """Without a status, Events are the memory; what is older than they are was told in its time."""
        bypassed = deployment.word is not None and deployment.word.by is OpenedBy.BYPASS
        return bypassed and (self.now() - parse.last_write(raw["metadata"])).total_seconds() < EVENT_LIFETIME

    async def _tell_orphan(
        self, namespace: str, deployment: GatedDeployment, reason: Reason, text: str, fact: str
    ) -> bool:
        event = EmitEvent(reason, text, fact, warning=True, deployment=deployment.name, deployment_uid=deployment.uid)
        return await events.post(
            self.actor.client, namespace, events.deployment_fact(namespace, event), self.actor.settings.pod_name
        )

    async def resync(self) -> None:
        """Ask for a pass over everything, again and again. Runs until cancelled."""
        while True:
            try:
                await self.list_all()
                self.on_sign_of_life()
            except Exception as error:  # noqa: BLE001  # whatever one object brings about must not end the process
                log.warning("full list failed: %r; again in %.0f s", error, RESYNC_INTERVAL / 10)
                await asyncio.sleep(RESYNC_INTERVAL / 10)
                continue
            await asyncio.sleep(RESYNC_INTERVAL)

    async def list_all(self) -> None:
        """Queue everything in every namespace. One that may not be read does not keep the others from being looked after."""
        for namespace in self.namespaces or (None,):
            try:
                await self._list(namespace)
            except ApiError as error:
                if error.status != 403 or namespace is None:
                    raise
                self.metrics.failed("forbidden")
                log.warning("%s", messages.namespace_forbidden(namespace, str(error)))

    async def _list(self, namespace: str | None) -> None:
        """Queue every DatabaseMigration, and every name that a gated Deployment or a Job of ours mentions."""
        client = self.actor.client
        for item in await client.list(paths.migrations(namespace)):
            self.queue.add((item["metadata"]["namespace"], item["metadata"]["name"]))
        for where, selector, label in (
            (paths.deployments(namespace), LABEL_GATE, LABEL_GATE),
            (paths.jobs(namespace), MANAGED_SELECTOR, LABEL_MIGRATION),
        ):
            for item in await client.list(where, selector):
                # Anybody may put our label on a Job of theirs; without a migration's name it is none of ours.
                name = (item["metadata"].get("labels") or {}).get(label)
                if name:
                    self.queue.add((item["metadata"]["namespace"], name))
