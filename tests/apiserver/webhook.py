"""The gate's webhook beside an API server without a node: the chart's own configuration, sent to a process on this machine.

The service in `clientConfig` becomes a URL, because an API server without a node has no way into a Service; nothing else differs.
"""

import base64
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from locktender.webhook.authority import new_authority, sign_serving
from tools.render import render

START_SECONDS = 90.0  # a second on an idle machine


@dataclass(frozen=True)
class Webhook:
    """A server that answers on `port`, trusted by `bundle` (PEM)."""

    port: int
    probes: int
    bundle: bytes

    def configuration(self, *arguments: str) -> dict[str, Any]:
        """The chart's MutatingWebhookConfiguration, sent here."""
        return sent_to(self.port, self.bundle, *arguments)


def sent_to(port: int, bundle: bytes | None, *arguments: str) -> dict[str, Any]:
    """The chart's MutatingWebhookConfiguration with a URL of this machine; without a bundle, somebody has to fill it in."""
    rendered = render.helm_template("--set=gate.carrier=webhook", "--show-only=templates/gate/webhook.yaml", *arguments)
    (found,) = [item for item in yaml.safe_load_all(rendered) if item]
    client: dict[str, Any] = {"url": f"https://127.0.0.1:{port}/hold"}
    if bundle is not None:
        client["caBundle"] = base64.b64encode(bundle).decode()
    found["webhooks"][0]["clientConfig"] = client
    return dict(found)


@contextmanager
def a_webhook(folder: Path) -> Iterator[Webhook]:
    """`locktender gate-webhook` as its own process, with a certificate in `folder` (an empty one)."""
    now = datetime.now(UTC)
    authority = new_authority(now, timedelta(days=1))
    serving = sign_serving(authority, ["127.0.0.1"], now, timedelta(days=1))
    (folder / "tls.crt").write_bytes(serving.certificate)
    (folder / "tls.key").write_bytes(serving.key)
    port, probes = free_port(), free_port()
    with process(port, probes, LOCKTENDER_CERTIFICATE_FOLDER=str(folder)):
        yield Webhook(port, probes, authority.certificate)


@contextmanager
def process(port: int, probes: int, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """The server as its own process, ready; stopped as a kubelet would at the end."""
    settings = {"LOCKTENDER_HOLD_PORT": str(port), "LOCKTENDER_PORT": str(probes), **environment}
    running = subprocess.Popen(
        [sys.executable, "-m", "locktender", "gate-webhook"],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_ready(probes, running)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=30)


def wait_ready(probes: int, running: subprocess.Popen[str]) -> None:
    """Return when /readyz says so; its own words when it does not within the time."""
    deadline = time.monotonic() + START_SECONDS
    words = "nobody listens"
    while time.monotonic() < deadline and running.poll() is None:
        try:
            with urlopen(f"http://127.0.0.1:{probes}/readyz", timeout=2):  # our own address
                return
        except OSError as error:
            words = getattr(error, "read", lambda: b"")().decode() or str(error)
        time.sleep(0.05)
    raise AssertionError(f"gate-webhook is not ready: {words}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
