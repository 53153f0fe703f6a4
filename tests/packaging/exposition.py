"""Two replicas as Prometheus scrapes them: an operator that has seen everything once more with each scrape, and a webhook."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import generate_latest

from locktender.core.agent_facts import Sample, Stop
from locktender.telemetry.locks import LockSeries
from locktender.telemetry.metrics import Metrics
from locktender.telemetry.table import WEBHOOK_METRICS
from tests.builders import World, a_migration, a_pod
from tests.builders import ended as container_ended

SHARE_LOCK = "ShareLock"


class Operator:
    """Fills every series by the same calls as the operator does."""

    def __init__(self) -> None:
        self.metrics, self._scrapes = Metrics(), 0
        self._locks: LockSeries = self.metrics.locks("shop", "shop-db")
        self.metrics.gauge("locktender_queue_depth").set_function(lambda: 0)

    def lives(self) -> None:
        """What may happen between two scrapes, all of it."""
        self._scrapes += 1
        metrics = self.metrics
        metrics.gauge("locktender_gate_installed").set(1)
        metrics.gauge("locktender_leader").set(1)
        metrics.gauge("locktender_watch_age_seconds").set(3)
        metrics.api_call("GET", "200", 0.01)
        metrics.waited(0.02)
        metrics.reconciled(0.1)
        metrics.failed("ApiError")
        metrics.released()
        metrics.restored("MutatingAdmissionPolicy/gate.locktender.dev")
        metrics.bypassed()
        self._run_succeeds()
        self._show("shop-db", unknown())
        self._show("failed", failed())
        self._show("invalid", invalid())
        self._show("in-backup", in_backup())
        n = self._scrapes
        self._locks.sample(
            Sample(
                3, 1.0, 1.5, 2.0 * n, ((SHARE_LOCK, 3),), 4.0, 1, wal_bytes=5, deadlocks=n, lag_bytes=6, lag_seconds=7
            )
        )
        self._locks.stopped(Stop("cancel", 17, "LockTimeout", 3.0, SHARE_LOCK, "public.orders", "", 3))

    def _run_succeeds(self) -> None:
        world = a_migration().holds("web", "shop:v2")
        world.settle()
        world.backup_ends_well().settle()
        self.metrics.backup_stored(world.observation(), 1000, 2000)
        world.migration_ends(0)
        for _ in range(6):
            before = world.observation()
            self.metrics.status_stored(before, world.step().status)
        self._show("shop-db", world)

    def _show(self, name: str, world: World) -> None:
        self.metrics.show(replace(world.observation(), name=name), world.status)


def unknown() -> World:
    """Nobody knows whether its migration ran: it is at a step, and stalled, and holds."""
    world = a_migration().holds("web", "shop:v3")
    world.settle()
    world.backup_ends_well().settle()
    world.pod_of("Migrate", None, failed=True, failure="PodFailurePolicy: disrupted").settle()
    return world


def failed() -> World:
    """Its migration failed."""
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    world.pod_of("Backup", a_pod(container_ended("backup", 1)), failed=True).settle()
    return world


def invalid() -> World:
    """Its spec cannot work."""
    world = a_migration(migration={"framework": "Abacus"}).holds("web", "shop:v2")
    world.settle()
    return world


def in_backup() -> World:
    """Its backup is at work."""
    world = a_migration().holds("web", "shop:v2")
    world.settle()
    return world


class Webhook:
    """A replica of the webhook."""

    def __init__(self) -> None:
        self.metrics = Metrics(WEBHOOK_METRICS)
        self.metrics.certificate_loaded(datetime.now(UTC) + timedelta(days=30))

    def lives(self) -> None:
        """Requests of each outcome."""
        for outcome in ("held", "refused", "error"):
            self.metrics.hold_answered(outcome, 0.001)
        self.metrics.api_call("GET", "200", 0.01)


@contextmanager
def served() -> Iterator[int]:
    """Serve both at /operator and /webhook; the port."""
    replicas: dict[str, Operator | Webhook] = {"/operator": Operator(), "/webhook": Webhook()}
    one_at_a_time = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with one_at_a_time:
                replica = replicas[self.path]
                replica.lives()
                body = generate_latest(replica.metrics.registry)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
