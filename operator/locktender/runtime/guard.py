"""Watches over the gate's own objects: what is deleted or edited comes back at once, and people are told.

    watch --> look: as wanted? --no--> is it wanted still? --> restore --> is it wanted now? --no--> withdraw
      ^         `--yes--> rest                                               `--yes--> tell

Kopf cannot do this watch: it lists and watches whole kinds, and the operator's rights are on single names. What is wanted is read anew
before and after each write, so that an uninstall, which takes the wish away first, is never undone.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from locktender.api.conditions import Reason
from locktender.core import gate_messages, messages
from locktender.core.errors import ApiError
from locktender.kube import gate_objects, paths
from locktender.kube.client import Client
from locktender.kube.gate_objects import Deed, Seen, Wanted, Wish
from locktender.settings import (
    GUARD_FORGETS,
    GUARD_GRACE,
    GUARD_INTERVAL,
    GUARD_PATIENCE,
    GUARD_RETRY,
    GuardMode,
    Settings,
)
from locktender.telemetry import events
from locktender.telemetry.metrics import Metrics

log = logging.getLogger("locktender.guard")
NOT_FOR_US = (
    403,
    404,
)  # HTTP statuses of a watch that will not come right by itself: no right, or a kind that is not served


@dataclass
class Guard:
    """One process's watch. Only the leader has one."""

    client: Client
    settings: Settings
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _watched: set[str] = field(default_factory=set)
    _missing_since: float | None = None
    _restored: dict[str, tuple[int, float]] = field(default_factory=dict)
    _said: dict[str, str] = field(default_factory=dict)
    _uid: str = ""

    async def run(self) -> None:
        """Watch until cancelled. No error of one look ends it."""
        async with asyncio.TaskGroup() as group:
            self._watch(group, paths.config_maps(self.settings.lease_namespace), self.settings.guard_config_map)
            while True:
                self._wake.clear()
                try:
                    wish, again = await self.look()
                    for wanted in wish.objects if wish else ():
                        self._watch(group, wanted.where.rpartition("/")[0], wanted.name)
                except ApiError as error:
                    log.warning("the gate's own objects cannot be looked after: %s", error)
                    again = GUARD_RETRY
                except Exception:
                    log.exception("unexpected error; the gate's own objects are looked at again in a moment")
                    again = GUARD_RETRY
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(again):
                        await self._wake.wait()

    def _watch(self, group: asyncio.TaskGroup, where: str, name: str) -> None:
        if f"{where}/{name}" not in self._watched:
            self._watched.add(f"{where}/{name}")
            group.create_task(self._wake_on_changes(where, name))

    async def _wake_on_changes(self, where: str, name: str) -> None:
        while True:
            try:
                async with contextlib.aclosing(self.client.changes(where, name)) as changes:
                    async for _ in changes:
                        self._wake.set()
            except ApiError as error:
                log.debug("watch on %s %s: %s", where, name, error)
                await self.sleep(GUARD_INTERVAL if error.status in NOT_FOR_US else GUARD_RETRY)
            except Exception:
                log.exception("watch on %s %s", where, name)
                await self.sleep(GUARD_INTERVAL)
            self._wake.set()  # what happened between two watches

    async def look(self) -> tuple[Wish | None, float]:
        """One look at everything; the wish, and the seconds until the next look. Raises ApiError."""
        wish = await self._wish()
        if wish is None:
            return None, await self._blind()
        self._missing_since, self._uid = None, wish.uid
        if not wish.objects:
            self.metrics.gauge("locktender_gate_installed").set(-1)
            return wish, GUARD_INTERVAL
        whole, again = True, GUARD_INTERVAL
        for wanted in wish.objects:
            wait = await self._tend(wish, wanted)
            if wait is not None:
                whole, again = False, min(again, wait)
        self.metrics.gauge("locktender_gate_installed").set(whole)
        return wish, again

    async def _wish(self) -> Wish | None:
        return await gate_objects.wish(self.client, self.settings.lease_namespace, self.settings.guard_config_map)

    async def _blind(self) -> float:
        """Without the ConfigMap nothing is wanted. That is worth a word when it lasts longer than an uninstall does."""
        if self._missing_since is None:
            self._missing_since = self.clock()
        left = GUARD_GRACE - (self.clock() - self._missing_since)
        if left > 0:
            return left
        self.metrics.gauge("locktender_gate_installed").set(0)
        text = gate_messages.guard_blind(self.settings.guard_config_map, self.settings.lease_namespace)
        await self._tell(Reason.GATE_INCOMPLETE, "wish", text, f"blind/{self._missing_since}")
        return GUARD_INTERVAL

    async def _tend(self, wish: Wish, wanted: Wanted) -> float | None:
        """Look at one object and do what there is to do; None when it is as wanted, else the seconds until the next look."""
        seen: Seen | None = None
        try:
            seen = await gate_objects.look(self.client, wanted, may_write=self.settings.guard is GuardMode.RESTORE)
            if seen.deed is Deed.NONE:
                self._said.pop(str(wanted), None)
                return None
            return await self._mend(wish, wanted, seen)
        except ApiError as error:
            await self._leave(wanted, seen, gate_messages.guard_refused(messages.one_line(str(error), 300)))
            return GUARD_RETRY

    async def _mend(self, wish: Wish, wanted: Wanted, seen: Seen) -> float | None:
        # Whoever installs writes the ConfigMap first and the objects a moment later: that is no edit.
        installing = GUARD_GRACE - (self.now() - wish.written).total_seconds()
        if 0 < installing <= GUARD_GRACE:
            return installing
        if self.settings.guard is not GuardMode.RESTORE:
            await self._leave(wanted, seen, gate_messages.guard_reports())
            return GUARD_INTERVAL
        patience = self._patience(wanted)
        if patience > 0:
            return patience
        return await self._restore(wanted, seen)

    async def _restore(self, wanted: Wanted, seen: Seen) -> float | None:
        before = await self._wish()
        if before is None or before.find(wanted) != wanted:
            return 0.0  # another wish by now: begin anew with it
        made = await gate_objects.restore(self.client, wanted, seen)
        after = await self._wish()
        if after is None or after.find(wanted) is None:
            if seen.deed is Deed.DELETED:
                await gate_objects.withdraw(self.client, wanted, made)
                log.info("%s is not wanted any more; taken back", wanted)
            return 0.0
        self._restored[str(wanted)] = (self._restored.get(str(wanted), (0, 0.0))[0] + 1, self.clock())
        self.metrics.restored(str(wanted))
        deed = (
            "was deleted"
            if seen.deed is Deed.DELETED
            else gate_messages.gate_edited("" if seen.writer == wanted.manager else seen.writer)
        )
        text = gate_messages.gate_restored(
            wanted.kind, wanted.name, deed, self.settings.guard_config_map, self.settings.lease_namespace
        )
        await self._tell(Reason.GATE_RESTORED, str(wanted), text, f"{wanted}/{made['metadata']['resourceVersion']}")
        return None

    def _patience(self, wanted: Wanted) -> float:
        """Seconds that an object which was restored lately has to wait: another tool that insists is not fought at full speed."""
        times, last = self._restored.get(str(wanted), (0, 0.0))
        since = self.clock() - last
        if times == 0 or since > GUARD_FORGETS:
            self._restored.pop(str(wanted), None)
            return 0.0
        first, longest = GUARD_PATIENCE
        return max(0.0, min(first * 2.0 ** (times - 1), longest) - since)

    async def _leave(self, wanted: Wanted, seen: Seen | None, why: str) -> None:
        states = {Deed.DELETED: "is missing", Deed.EDITED: "is not what the chart installed"}
        state = states[seen.deed] if seen else "cannot be looked at"
        text = gate_messages.gate_incomplete(wanted.kind, wanted.name, state, why, self.settings.lease_namespace)
        await self._tell(
            Reason.GATE_INCOMPLETE, str(wanted), text, f"{wanted}/{seen.identity if seen else state}/{why}"
        )

    async def _tell(self, reason: Reason, about: str, text: str, fact: str) -> None:
        """A log line and an Event on the ConfigMap, once for each fact. Neither stops the guard."""
        if self._said.get(about) == fact:
            return
        self._said[about] = fact
        log.warning("%s", text)
        namespace, name = self.settings.lease_namespace, self.settings.guard_config_map
        regarding = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": name, "uid": self._uid}
        told = events.Fact(tuple(regarding.items()), reason, text, fact, warning=True)
        try:
            await events.post(self.client, namespace, told, self.settings.pod_name)
        except ApiError as error:
            log.warning("Event %s not posted: %s", reason, error)
