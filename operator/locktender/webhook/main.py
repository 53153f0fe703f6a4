"""`locktender gate-webhook`: serve the probes, load a certificate, hold what API servers ask about, leave slowly."""

import asyncio
import logging
import signal
import sys
from pathlib import Path

from locktender import __version__
from locktender.kube import client
from locktender.settings import (
    WEBHOOK_DRAIN,
    WEBHOOK_FILES,
    CertificateTimes,
    SettingsError,
    WebhookSettings,
    read_webhook,
)
from locktender.telemetry.metrics import Metrics
from locktender.telemetry.table import WEBHOOK_METRICS
from locktender.webhook.files import follow
from locktender.webhook.keeper import Keeper
from locktender.webhook.server import Standing, hold_application, listen, probe_application
from locktender.webhook.serving import Serving

log = logging.getLogger("locktender.webhook")


def main() -> int:
    """Run the webhook; the exit code."""
    try:
        settings = read_webhook()
    except SettingsError as problem:
        print(f"locktender gate-webhook: {problem}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout
    )
    for noisy in ("aiohttp", "kubernetes"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    log.info("locktender %s", __version__)
    return asyncio.run(run(settings))


async def run(settings: WebhookSettings) -> int:
    """The webhook's life, until a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics(WEBHOOK_METRICS)
    if settings.certificate_folder:
        return await serve(settings, metrics, stop)
    api = await client.connect(metrics.api_call)
    try:
        return await serve(settings, metrics, stop, api)
    finally:
        await api.close()


async def serve(
    settings: WebhookSettings,
    metrics: Metrics,
    stop: asyncio.Event,
    api: client.Client | None = None,
    times: CertificateTimes | None = None,
    drain: float = WEBHOOK_DRAIN,
) -> int:
    """Answer until `stop` is set, and `drain` seconds more. With a client, the certificates are our own."""
    standing, serving = Standing(), Serving(metrics)
    if api is None:
        source = follow(Path(settings.certificate_folder), serving, standing, WEBHOOK_FILES)
    else:
        source = Keeper(api, settings, serving, standing, times or CertificateTimes()).keep()
    probes = await listen(probe_application(metrics, standing), settings.port)
    holding = await listen(hold_application(metrics, standing), settings.hold_port, serving.context)
    certificates = asyncio.create_task(source)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({certificates, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if certificates.done():
            await certificates  # it ends only by an error, which is then raised here
        # API servers go on asking until every node knows that this replica leaves, and the gate fails closed.
        standing.leaving = True
        log.info("leaving: not ready any more, serving for %.0f s", drain)
        await asyncio.sleep(drain)
        return 0
    finally:
        certificates.cancel()
        stopped.cancel()
        await holding.cleanup()
        await probes.cleanup()
