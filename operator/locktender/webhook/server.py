"""Two ports: /hold over TLS for API servers, and /healthz, /readyz and /metrics in plain for the kubelet and Prometheus."""

import json
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from locktender.settings import WEBHOOK_BODY_LIMIT, WEBHOOK_KEEPALIVE
from locktender.telemetry.metrics import Metrics
from locktender.webhook.review import BadReview, answer

log = logging.getLogger("locktender.webhook")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Standing:
    """Whether this replica wants to be asked. `unready` is the reason why not, empty when it is ready."""

    unready: str = "no certificate is loaded yet"
    leaving: bool = False


def hold_application(metrics: Metrics, standing: Standing) -> web.Application:
    """What API servers call."""

    async def hold(request: web.Request) -> web.Response:
        started = time.monotonic()
        outcome = "error"
        try:
            response = await _held(request)
            outcome = "held" if response.status == 200 else "refused"
        except web.HTTPException:  # a body beyond the limit
            outcome = "refused"
            raise
        finally:
            metrics.hold_answered(outcome, time.monotonic() - started)
        if standing.leaving:
            response.force_close()  # the connection must not outlive this process in an API server's pool
        return response

    application = web.Application(client_max_size=WEBHOOK_BODY_LIMIT)
    application.router.add_post("/hold", hold)
    return application


async def _held(request: web.Request) -> web.Response:
    try:
        return web.json_response(answer(json.loads(await request.read())))
    except BadReview as problem:
        sentence = str(problem)
    except (ValueError, RecursionError):
        sentence = "the body is not JSON"
    log.warning("answered 400: %s", sentence)
    return web.Response(status=400, text=sentence)


def probe_application(metrics: Metrics, standing: Standing) -> web.Application:
    """What the kubelet and Prometheus call."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        reason = "shutting down" if standing.leaving else standing.unready
        return web.Response(text=reason or "ok", status=503 if reason else 200)

    async def exposed(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(metrics.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    application.router.add_get("/readyz", readyz)
    application.router.add_get("/metrics", exposed)
    return application


async def listen(application: web.Application, port: int, tls: ssl.SSLContext | None = None) -> web.AppRunner:
    """Serve on all addresses; the caller cleans the returned runner up. Raises OSError when the port is taken."""
    runner = web.AppRunner(application, access_log=None, keepalive_timeout=WEBHOOK_KEEPALIVE)
    await runner.setup()
    await web.TCPSite(runner, port=port, ssl_context=tls).start()
    return runner
