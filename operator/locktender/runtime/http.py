"""/healthz, /readyz and /metrics on one port."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from locktender.settings import LOOP_STALL_LIMIT, WATCH_SILENCE_LIMIT
from locktender.telemetry.metrics import Metrics


@dataclass
class Health:
    """What the probes ask for. Times are of the monotonic clock, in seconds."""

    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    ready: bool = False
    leading: bool = False
    _tick: float = field(default_factory=time.monotonic)
    _life: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """The event loop has come round."""
        self._tick = self.clock()

    def sign_of_life(self) -> None:
        """A watch has delivered an event, or a full list has succeeded."""
        self._life = self.clock()

    def problems(self) -> list[str]:
        """Why the process should be restarted; empty when it is well."""
        found = []
        stalled, silent = self.clock() - self._tick, self.clock() - self._life
        if stalled > LOOP_STALL_LIMIT:
            found.append(f"the event loop has not come round for {stalled:.0f} s")
        if self.leading and silent > WATCH_SILENCE_LIMIT:
            found.append(f"no event and no full list for {silent:.0f} s")
        return found

    def refresh(self) -> None:
        """Bring the process's own gauges up to date before they are read."""
        self.metrics.gauge("locktender_watch_age_seconds").set(self.clock() - self._life if self.leading else 0)
        self.metrics.gauge("locktender_leader").set(self.leading)


async def serve(health: Health, port: int) -> web.AppRunner:
    """Start listening; the caller cleans the returned runner up. Raises OSError when the port is taken."""

    async def healthz(_: web.Request) -> web.Response:
        problems = health.problems()
        return web.Response(text="\n".join(problems) or "ok", status=500 if problems else 200)

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ok" if health.ready else "not ready yet", status=200 if health.ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        health.refresh()
        return web.Response(
            body=generate_latest(health.metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", metrics)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner
