"""Leader election over a Lease. Safety never depends on it (names, preconditions and the fence in the database do); it spares double work.

Time is this process's monotonic clock only: another holder's lease counts as expired when *we* have seen it unchanged for its whole
duration. A leader that cannot renew in time, or is in doubt, stops the process: a restart is cheap and the state is in the cluster.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from locktender.core.errors import ApiError
from locktender.kube import paths
from locktender.kube.client import Client
from locktender.settings import LEASE_DURATION, LEASE_RENEW_DEADLINE, LEASE_RETRY_PERIOD

log = logging.getLogger("locktender.lease")


class LeadershipLost(Exception):  # it is no error of this process
    """The lease could not be renewed in time, or somebody else holds it."""


def _microtime() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Elector:
    """One candidate. `identity` must be unique among the replicas."""

    client: Client
    namespace: str
    name: str
    identity: str
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _seen: tuple[str, float] = field(default=("", 0.0))

    async def acquire(self) -> None:
        """Return when this process leads."""
        while True:
            try:
                async with asyncio.timeout(LEASE_RENEW_DEADLINE):
                    if await self._try():
                        log.info("%s leads (lease %s/%s)", self.identity, self.namespace, self.name)
                        return
            except (ApiError, TimeoutError) as error:
                log.warning("lease %s/%s cannot be taken: %s", self.namespace, self.name, error)
            await self.sleep(LEASE_RETRY_PERIOD * (1 + random.random() * 0.2))  # noqa: S311  # spreads replicas, no secret

    async def keep(self) -> None:
        """Renew until cancelled. Raises LeadershipLost when the lease is not ours any more or could not be renewed in time."""
        renewed = self.clock()
        while True:
            await self.sleep(LEASE_RETRY_PERIOD)
            left = LEASE_RENEW_DEADLINE - (self.clock() - renewed)
            if left <= 0:
                raise LeadershipLost(f"lease not renewed for {LEASE_RENEW_DEADLINE:.0f} s")
            try:
                async with asyncio.timeout(left):
                    if not await self._try():
                        raise LeadershipLost("another process holds the lease")
                renewed = self.clock()
            except (ApiError, TimeoutError) as error:
                log.warning("lease not renewed: %s", error)

    async def release(self) -> None:
        """Give the lease back, so that the next leader need not wait for it to expire."""
        try:
            raw = await self.client.get(paths.leases(self.namespace, self.name))
            if raw is not None and raw["spec"].get("holderIdentity") == self.identity:
                raw["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _microtime()}
                await self.client.replace(paths.leases(self.namespace, self.name), raw)
        except ApiError as error:
            log.warning("lease not given back: %s", error)

    async def _try(self) -> bool:
        """One attempt to take or renew; guarded by the resourceVersion that was read."""
        raw = await self.client.get(paths.leases(self.namespace, self.name))
        try:
            if raw is None:
                await self.client.create(paths.leases(self.namespace), self._new())
                return True
            holder = raw["spec"].get("holderIdentity") or ""
            if holder not in ("", self.identity) and not self._expired(raw):
                return False
            await self.client.replace(paths.leases(self.namespace, self.name), self._taken(raw, holder))
        except ApiError as error:
            if error.status == 409:
                return False  # somebody was faster; if it was a late answer to ourselves, the next try says so
            raise
        return True

    def _expired(self, raw: dict[str, Any]) -> bool:
        version = raw["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, self.clock())
            return False
        return self.clock() - self._seen[1] > float(raw["spec"].get("leaseDurationSeconds") or LEASE_DURATION)

    def _spec(self) -> dict[str, Any]:
        return {"holderIdentity": self.identity, "leaseDurationSeconds": int(LEASE_DURATION), "renewTime": _microtime()}

    def _new(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": {**self._spec(), "acquireTime": _microtime(), "leaseTransitions": 0},
        }

    def _taken(self, raw: dict[str, Any], holder: str) -> dict[str, Any]:
        spec = {**raw["spec"], **self._spec()}
        if holder != self.identity:
            spec |= {"acquireTime": _microtime(), "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        return {**raw, "spec": spec}
