"""Follows the agents' logs of the migrations that run, and turns their lines into metrics while it happens.

a pass sees a migration run --> one task streams its pod's log --> samples become gauges and counters
a pass sees it ended        --> the task reads the agent's last lines, at most for LOG_FAREWELL, and takes the gauges away

Nothing is polled, and nothing depends on it: no verdict, no report. A process that starts in the middle reads the log from its beginning.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self

from locktender.api.status import Status, StepState
from locktender.core import agent_lines
from locktender.core.agent_facts import Sample, Stop
from locktender.core.errors import ApiError
from locktender.core.evidence import AGENT
from locktender.core.observation import Observation
from locktender.core.steps import migrate
from locktender.kube import logs
from locktender.kube.client import Client
from locktender.runtime.queue import Key
from locktender.settings import FOLLOWED_AT_ONCE, LOG_FAREWELL, LOG_LINES, LOG_RETRY
from locktender.telemetry.locks import LockSeries
from locktender.telemetry.metrics import Metrics

log = logging.getLogger("locktender.followers")


@dataclass
class _Followed:
    pod: str
    task: asyncio.Task[None]
    over: asyncio.Event


@dataclass
class Followers:
    """One process's followers. Leave it as a context, and all of them are stopped."""

    client: Client
    metrics: Metrics
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    farewell: float = LOG_FAREWELL
    _followed: dict[Key, _Followed] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [followed.task for followed in self._followed.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def see(self, observation: Observation, status: Status) -> None:
        """A pass is over: begin to follow, go on, or let go."""
        key = (observation.namespace, observation.name)
        pod = _at_work(observation, status)
        followed = self._followed.get(key)
        if followed is not None and followed.pod != pod:
            self.gone(key)
        if pod and (followed is None or followed.pod != pod) and len(self._followed) < FOLLOWED_AT_ONCE:
            over = asyncio.Event()
            task = asyncio.create_task(self._follow(key, pod, over, followed.task if followed else None))
            self._followed[key] = _Followed(pod, task, over)

    def gone(self, key: Key) -> None:
        """The migration is over: its follower may read what is left, and ends."""
        followed = self._followed.pop(key, None)
        if followed is not None:
            followed.over.set()

    async def _follow(self, key: Key, pod: str, over: asyncio.Event, before: asyncio.Task[None] | None) -> None:
        """One migration's follower, from its beginning to its end."""
        if before is not None:  # two of one resource would take each other's gauges away
            before.cancel()
            await asyncio.gather(before, return_exceptions=True)
        series = self.metrics.locks(*key)
        reading = asyncio.create_task(self._read(key, pod, series, over))
        try:
            await asyncio.wait(
                {reading, ended := asyncio.create_task(over.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
            ended.cancel()
            await asyncio.wait({reading}, timeout=self.farewell)
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            series.end()

    async def _read(self, key: Key, pod: str, series: LockSeries, over: asyncio.Event) -> None:
        """Stream until the migration is over, however often the stream breaks off."""
        position, pace, pause = logs.Position(), _Pace(self.clock, self.sleep), LOG_RETRY[0]
        while True:
            try:
                async for line in logs.follow(self.client, key[0], pod, position):
                    pause = LOG_RETRY[0]
                    _show(series, line)
                    await pace.next()
            except ApiError as error:
                log.debug("%s/%s: the log of pod %s broke off: %s", *key, pod, error)
                if error.status == 404:
                    return
            if over.is_set():
                return
            await self.sleep(pause)
            pause = min(pause * 2, LOG_RETRY[1])


@dataclass
class _Pace:
    """Lets LOG_LINES lines a second pass; the stream behind it is slowed down."""

    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    _begun: float = 0.0
    _count: int = 0

    async def next(self) -> None:
        """One more line."""
        if self._count == 0:
            self._begun = self.clock()
        self._count += 1
        if self._count >= LOG_LINES:
            self._count = 0
            await self.sleep(max(0.0, self._begun + 1.0 - self.clock()))


def _show(series: LockSeries, line: str) -> None:
    told = agent_lines.parse(line)
    match told.fact if told else None:
        case Sample() as sample:
            series.sample(sample)
        case Stop() as stop:
            series.stopped(stop)


def _at_work(observation: Observation, status: Status) -> str:
    """The pod of the migration that runs, empty when there is none."""
    run = status.run
    if run is None or not run.active or run.step(migrate.NAME).state is not StepState.RUNNING:
        return ""
    job = observation.jobs.get(run.step(migrate.NAME).job or "")
    agent = job.pod.container(AGENT) if job and job.pod else None
    return job.pod.name if job and job.pod and agent and agent.running else ""
