"""Certificates that somebody else renews: loaded when they come, exchanged when they change, kept when what comes is broken."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from locktender.telemetry.metrics import Metrics
from locktender.telemetry.table import WEBHOOK_METRICS
from locktender.webhook.authority import new_authority, sign_serving
from locktender.webhook.files import follow
from locktender.webhook.server import Standing
from locktender.webhook.serving import Serving

NOW = datetime.now(UTC)
AUTHORITY = new_authority(NOW, timedelta(days=9))


def expiry(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("locktender_webhook_certificate_expiry_timestamp_seconds") or 0


def put(folder: Path, days: int) -> float:
    """A certificate for so many days; when it ends."""
    pair = sign_serving(AUTHORITY, ["web.svc"], NOW, timedelta(days=days))
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)
    return pair.parsed.not_valid_after_utc.timestamp()


async def looks() -> None:
    """It looks whenever the loop comes round."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_follows_the_files(tmp_path: Path) -> None:
    metrics, standing = Metrics(WEBHOOK_METRICS), Standing()
    following = asyncio.create_task(follow(tmp_path, Serving(metrics), standing, 0))
    try:
        await looks()
        assert "cannot be loaded" in standing.unready
        for days in (1, 2):
            ends = put(tmp_path, days)
            await looks()
            assert (standing.unready, expiry(metrics)) == ("", ends)
        (tmp_path / "tls.key").write_text("broken")
        await looks()
        assert (standing.unready, expiry(metrics)) == ("", ends), "what is served stays"
        assert not following.done()
    finally:
        following.cancel()
