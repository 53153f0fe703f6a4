"""`locktender gate-webhook`: serve the probes, load a certificate, hold what API servers ask about, leave slowly."""

import asyncio
import logging
import signal
import sys
from pathlib import Path

from locktender import __version__
from locktender.settings import WEBHOOK_DRAIN, WEBHOOK_POLL, SettingsError, WebhookSettings, read_webhook
from locktender.telemetry.metrics import WEBHOOK_METRICS, Metrics
from locktender.webhook.files import follow
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
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
    log.info("locktender %s", __version__)
    return asyncio.run(run(settings))


async def run(settings: WebhookSettings, drain: float = WEBHOOK_DRAIN) -> int:
    """The webhook's life, until SIGTERM and `drain` seconds more."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics, standing = Metrics(WEBHOOK_METRICS), Standing()
    serving = Serving(metrics)
    probes = await listen(probe_application(metrics, standing), settings.port)
    holding = await listen(hold_application(metrics, standing), settings.hold_port, serving.context)
    source = asyncio.create_task(follow(Path(settings.certificate_folder), serving, standing, WEBHOOK_POLL))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({source, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if source.done():
            await source  # it ends only by an error, which is then raised here
        # API servers go on asking until every node knows that this replica leaves, and the gate fails closed.
        standing.leaving = True
        log.info("leaving: not ready any more, serving for %.0f s", drain)
        await asyncio.sleep(drain)
        return 0
    finally:
        source.cancel()
        stopped.cancel()
        await holding.cleanup()
        await probes.cleanup()
