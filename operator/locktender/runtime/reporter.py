"""Makes MigrationReports beside the passes, so that no pass over a resource waits for a log.

A pass asks for a report; it is made by a task, which then asks for another pass; that one finds it made and writes its name into the
status. A process that dies in between begins again: the report's name is the Job's, so it is made once.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Self

from locktender.core.actions import StoreReport
from locktender.core.errors import LocktenderError
from locktender.core.observation import Observation
from locktender.kube.act import Actor
from locktender.runtime.queue import WorkQueue

log = logging.getLogger("locktender.reporter")


@dataclass
class Reporter:
    """One process's reports in the making. Leave it as a context, and what is unfinished is dropped."""

    actor: Actor
    queue: WorkQueue
    _making: dict[tuple[str, str], asyncio.Task[None]] = field(default_factory=dict)
    _made: dict[tuple[str, str], str] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def made(self, observation: Observation, action: StoreReport) -> str:
        """The report's name once it is made, and forgotten with that; until then empty, and it is being made."""
        key = (observation.namespace, action.name)
        if key in self._made:
            return self._made.pop(key)
        if key not in self._making:
            task = asyncio.create_task(self._make(observation, action))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return ""

    async def _make(self, observation: Observation, action: StoreReport) -> None:
        """Failing is ordinary: the pod may be gone, its node may not answer. The next pass asks again for as long as it is worth it."""
        key = (observation.namespace, observation.name)
        try:
            name = await self.actor.perform(observation, action)
        except LocktenderError as error:
            log.info("%s/%s: no report of Job %s yet: %s", *key, action.name, error)
            return
        except Exception:
            log.exception("%s/%s: no report of Job %s", *key, action.name)
            return
        run = observation.status.run
        if name and run is not None and any(step.job == action.name for step in run.steps):
            self._made[observation.namespace, action.name] = name
            self.queue.add(key)
