"""The metrics as Prometheus' own linter sees them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from locktender.telemetry.metrics import Metrics
from tests.unit.core.test_decide import a_migration, migrated

pytestmark = pytest.mark.packaging
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "locktender" / "promtool"


@pytest.fixture(scope="module")
def promtool() -> str:
    """Promtool from PATH, or unpacked from Debian's package `prometheus` (not installed: that would start a server)."""
    found = shutil.which("promtool") or shutil.which(str(CACHE / "usr/bin/promtool"))
    if found:
        return found
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=CACHE, check=True)
    (package,) = CACHE.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=CACHE, check=True)
    package.unlink()
    return str(CACHE / "usr/bin/promtool")


def test_promtool_finds_nothing_wrong_with_the_metrics(promtool: str) -> None:
    metrics = Metrics()
    world = a_migration().holds("web", "shop:v2")
    before = world.observation()
    status = migrated(world).status
    metrics.status_stored(before, status)
    metrics.show(world.observation(), status)
    metrics.api_call("GET", "200", 0.01)
    metrics.failed("api")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(metrics.registry), capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()
    assert checked.stderr == b""
