"""Makes MigrationReports: reads an agent's log to its end, stores the story, and removes the oldest of its DatabaseMigration."""

import asyncio
import logging

from locktender.core.actions import StoreReport
from locktender.core.errors import ApiError
from locktender.core.observation import Observation
from locktender.core.timeline import Timeline
from locktender.kube import logs, paths
from locktender.kube.client import Client
from locktender.render import reports
from locktender.render.names import is_owned_by, migration_selector
from locktender.settings import REPORTS_KEPT

log = logging.getLogger("locktender.reports")
_BREATH = 200  # lines read at a stretch: some milliseconds, then other work has its turn


async def store(client: Client, observation: Observation, action: StoreReport) -> str:
    """The name of the report, which exists now; empty when the log has nothing to tell. Raises ApiError when it cannot be read or stored."""
    namespace = observation.namespace
    if await client.get(paths.reports(namespace, action.name)) is not None:
        return action.name
    timeline = await _timeline(client, namespace, action)
    if timeline.began is None:
        return ""
    body = reports.report(action, namespace, observation.name, observation.uid, timeline.content())
    try:
        await client.create(paths.reports(namespace), body)
    except ApiError as error:
        if error.status != 409:
            raise
    await _keep_the_newest(client, observation)
    return action.name


async def _timeline(client: Client, namespace: str, action: StoreReport) -> Timeline:
    timeline = Timeline()
    for previous in (True, False) if action.restarted else (False,):
        try:
            count = 0
            async for line in logs.read(client, namespace, action.pod, previous=previous):
                timeline.add(line)
                count += 1
                if count % _BREATH == 0:
                    await asyncio.sleep(0)
        except ApiError:
            if not previous:
                raise
            timeline.whole = False
    return timeline


async def _keep_the_newest(client: Client, observation: Observation) -> None:
    found = await client.list(paths.reports(observation.namespace), migration_selector(observation.name), heads=True)
    own = [item["metadata"] for item in found if is_owned_by(item, observation.uid)]
    oldest_first = sorted(own, key=lambda meta: (meta["creationTimestamp"], meta["name"]))
    for meta in oldest_first[:-REPORTS_KEPT]:
        await client.delete(paths.reports(observation.namespace, meta["name"]), meta["uid"])
