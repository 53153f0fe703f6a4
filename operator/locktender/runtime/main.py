"""`locktender controller`: connect, serve the probes, wait to lead, then watch and work until told to stop or leadership is in doubt."""

import asyncio
import logging
import os
import re
import signal
import sys
import time

from locktender import __version__
from locktender.core.errors import ApiError
from locktender.kube import client, paths
from locktender.kube.act import Actor
from locktender.runtime import watch, webhook_ca
from locktender.runtime.followers import Followers
from locktender.runtime.guard import Guard
from locktender.runtime.http import Health, serve
from locktender.runtime.lease import Elector, LeadershipLost
from locktender.runtime.queue import WorkQueue
from locktender.runtime.reconciler import Reconciler
from locktender.runtime.reporter import Reporter
from locktender.settings import LEASE_DURATION, LEASE_RENEW_DEADLINE, GuardMode, Settings, SettingsError, read
from locktender.telemetry.metrics import Metrics

log = logging.getLogger("locktender")
TICK = 1.0  # seconds between two signs that the event loop comes round
CRD_WAIT = 2.0  # seconds between two looks for our CRDs, when they are installed after the operator
EXIT_LOST = 3  # the process ended because another leads, or may lead


def main() -> int:
    """Run the controller; the exit code."""
    try:
        settings = read()
    except SettingsError as problem:
        print(f"locktender controller: {problem}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout
    )
    for noisy in ("kopf", "aiohttp", "kubernetes"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    log.info("locktender %s, runner image %s", __version__, settings.runner_image)
    return asyncio.run(run(settings))


async def run(settings: Settings) -> int:
    """The controller's life."""
    metrics = Metrics()
    health = Health(metrics)
    api = await client.connect(metrics.api_call)
    server = await serve(health, settings.port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    life = asyncio.create_task(_live(api, settings, health, metrics, stop))
    stopped = asyncio.create_task(stop.wait())
    ticking = asyncio.create_task(_tick(health))
    try:
        await asyncio.wait({life, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return await _end(life)
    finally:
        ticking.cancel()
        await server.cleanup()
        await api.close()


async def _end(life: asyncio.Task[None]) -> int:
    """Stop the work and say how it ended. A work that does not stop in time is cut off: the lease must not outlive us."""
    life.cancel()
    done, _ = await asyncio.wait({life}, timeout=LEASE_DURATION - LEASE_RENEW_DEADLINE)
    if not done:
        log.error("work did not stop in time; leaving")
        os._exit(EXIT_LOST)
    if life.cancelled():
        return 0
    error = life.exception()
    if isinstance(error, LeadershipLost):
        log.error("leadership lost: %s", error)
        return EXIT_LOST
    if error is not None:
        log.error("stopping: %s", error, exc_info=error)
        return 1
    return 0


async def _live(api: client.Client, settings: Settings, health: Health, metrics: Metrics, stop: asyncio.Event) -> None:
    """Wait to lead, then work. Ends only by cancellation or an error."""
    minor = await _server_minor(api)
    elector = Elector(api, settings.lease_namespace, settings.lease_name, f"{settings.pod_name}_{os.getpid()}")
    health.ready = True  # a replica that stands by is ready: it takes over when it must
    await elector.acquire()
    health.leading = True
    try:
        await _wait_for_crds(api, settings)
        await _work(Actor(api, settings, minor), health, metrics, elector, stop)
    finally:
        health.leading = False
        await asyncio.shield(elector.release())


async def _work(actor: Actor, health: Health, metrics: Metrics, elector: Elector, stop: asyncio.Event) -> None:
    settings = actor.settings
    queue = WorkQueue(time.monotonic)
    metrics.gauge("locktender_queue_depth").set_function(lambda: len(queue))
    followers, reporter = Followers(actor.client, metrics), Reporter(actor, queue)
    reconciler = Reconciler(
        actor,
        queue,
        metrics,
        settings.namespaces,
        on_sign_of_life=health.sign_of_life,
        followers=followers,
        reporter=reporter,
    )
    async with followers, reporter, asyncio.TaskGroup() as group:
        group.create_task(_or_fail(elector))
        for _ in range(settings.workers):
            group.create_task(reconciler.work())
        group.create_task(reconciler.resync())
        if settings.gate_ca_config_map:
            group.create_task(webhook_ca.copy(actor.client, settings.lease_namespace, settings.gate_ca_config_map))
        if settings.guard is not GuardMode.OFF:
            group.create_task(Guard(actor.client, settings, metrics).run())
        # Last: on its way out kopf cancels the tasks of this loop that were started after it.
        group.create_task(_watch(queue, settings, health, stop))


async def _or_fail(elector: Elector) -> None:
    """Keep the lease. In doubt the whole process goes at once: half-done work is safe, two leaders are not needed."""
    try:
        await elector.keep()
    except LeadershipLost as lost:
        log.error("leadership lost: %s; leaving", lost)  # noqa: TRY400  # no traceback: this is an ordinary end
        os._exit(EXIT_LOST)


async def _watch(queue: WorkQueue, settings: Settings, health: Health, stop: asyncio.Event) -> None:
    """Kopf takes the signals of a process that it runs in, and returns when one came; a watch that dies raises instead."""
    await watch.watch(queue, settings.namespaces, asyncio.Event(), health.sign_of_life)
    stop.set()
    await asyncio.Event().wait()


async def _server_minor(api: client.Client) -> int:
    """The minor version of the API server; keeps asking while it does not answer."""
    while True:
        try:
            version = await api.get("/version")
        except ApiError as error:
            log.warning("the API server does not answer: %s", error)
            await asyncio.sleep(CRD_WAIT)
            continue
        digits = re.match(r"\d+", str((version or {}).get("minor", "")))
        return int(digits.group()) if digits else 0


async def _wait_for_crds(api: client.Client, settings: Settings) -> None:
    """Our kinds must be served before they can be watched; `kubectl apply` may bring them after the operator."""
    namespace = settings.namespaces[0] if settings.namespaces else None
    while True:
        try:
            if await api.get(paths.migrations(namespace)) is not None:
                return
            log.warning(
                "the CRD databasemigrations.locktender.dev is not installed yet: apply crds/ or install the chart"
            )
        except ApiError as error:
            log.warning("DatabaseMigrations cannot be listed yet: %s", error)
        await asyncio.sleep(CRD_WAIT)


async def _tick(health: Health) -> None:
    while True:
        health.tick()
        await asyncio.sleep(TICK)
