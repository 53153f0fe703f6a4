"""Prometheus' own programs, for tests: they come from Debian's package, unpacked and not installed, for that would start a server."""

import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "locktender" / "promtool"


def program(name: str) -> str:
    """The path of `promtool` or `prometheus`, of the machine or of the cache."""
    found = shutil.which(name) or shutil.which(str(CACHE / "usr/bin" / name))
    if found:
        return found
    CACHE.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "update", "-qq"], check=True)
    subprocess.run(["apt-get", "download", "-qq", "prometheus"], cwd=CACHE, check=True)
    (package,) = CACHE.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package.name, "."], cwd=CACHE, check=True)
    package.unlink()
    return str(CACHE / "usr/bin" / name)
