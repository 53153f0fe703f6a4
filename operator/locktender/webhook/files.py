"""A certificate that somebody else renews, as files: cert-manager's Secret, mounted into the pod."""

import asyncio
import logging
from pathlib import Path

from locktender.webhook.server import Standing
from locktender.webhook.serving import BadCertificate, Serving

log = logging.getLogger("locktender.webhook")


async def follow(folder: Path, serving: Serving, standing: Standing, interval: float) -> None:
    """Load `tls.crt` and `tls.key` from `folder` whenever they have changed, looking every `interval` seconds; until cancelled."""
    while True:
        _look(folder, serving, standing)
        await asyncio.sleep(interval if serving.loaded else min(interval, 1.0))


def _look(folder: Path, serving: Serving, standing: Standing) -> None:
    try:
        changed = serving.load((folder / "tls.crt").read_bytes(), (folder / "tls.key").read_bytes())
    except (OSError, BadCertificate) as problem:
        log.warning("the certificate in %s cannot be loaded: %s", folder, problem)
        if not serving.loaded:
            standing.unready = f"the certificate in {folder} cannot be loaded: {problem}"
        return
    standing.unready = ""
    if changed:
        log.info("serving with the certificate in %s", folder)
