"""MigrationReports on a real API server: made once of each attempt, the newest ten kept, and found again by people.

No kubelet serves logs here, so a stand-in behind the client does; tests/cluster reads them from a real node.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from locktender.cli import cluster
from locktender.cli.story import NoReport
from locktender.core.actions import StoreReport
from locktender.core.timeline import Timeline
from locktender.kube import observe, paths, reports
from locktender.kube.act import Actor
from locktender.kube.client import Client
from locktender.runtime.queue import WorkQueue
from locktender.runtime.reconciler import Reconciler
from locktender.runtime.reporter import Reporter
from locktender.settings import REPORTS_KEPT
from locktender.telemetry.metrics import Metrics
from tests.agent_log import Log, LogServer, a_log
from tests.apiserver.stage import SETTINGS, Stage, connect, stage

pytestmark = pytest.mark.apiserver
NO_BACKUP = {"policy": "Skip", "reason": "a test", "storage": None}
KEY = "shop-db"
DEADLINE = 20.0  # seconds


def a_busy_log() -> Log:
    log = a_log().baseline().blocked(0.2, 1.0).hold(1.2, 2.0).wait(1.3, 1.9)
    log.sample(3.0, blocked=1, longestWait=1.7, worstWait=1.9, blockedSeconds=1.9, walBytes=4096, statement="ALTER TABLE t",
               lagBytes=7, progress={"command": "ALTER", "phase": "rewriting", "done": 1, "total": 2})  # fmt: skip
    return log.cancel(3.2).ended(3.5)


class WithLogs(Client):
    """A client to whom every pod's log is the same one."""

    logs = LogServer(a_busy_log())

    async def stream(self, url: str, silence: float, accept: str = "application/json") -> AsyncGenerator[bytes, None]:
        assert "/pods/" in url
        async for some in self.logs.stream(url, silence, accept):
            yield some


async def migrate(scene: Stage, client: Client) -> dict[str, Any]:
    """One run from its beginning until its report is noted; the Migrate step of the stored status."""
    actor, queue = Actor(client, SETTINGS, 37), WorkQueue(time.monotonic)
    deadline = time.monotonic() + DEADLINE
    async with Reporter(actor, queue) as reporter:
        reconciler = Reconciler(actor, queue, Metrics(), reporter=reporter)
        await scene.settle(reconciler)
        while time.monotonic() < deadline:
            await reconciler.reconcile((scene.namespace, KEY))
            found = await scene.client.get(paths.migrations(scene.namespace, KEY))
            assert found is not None
            step: dict[str, Any] = found["status"]["run"]["steps"][-2]
            if step.get("report"):
                return step
    raise AssertionError(f"no report within {DEADLINE} s: {step}")


async def test_an_attempt_leaves_one_report_that_its_step_names(controller_server: Path) -> None:
    client = await connect(controller_server, WithLogs)
    async with stage(controller_server, "report") as scene:
        await scene.set_up(migration={"framework": "Command", "command": ["true"]}, backup=NO_BACKUP)
        await scene.hold("web", "shop:v2")
        step = await migrate(scene, client)
        (stored,) = await scene.client.list(paths.reports("report"))
        owner = await scene.client.get(paths.migrations("report", KEY))
        assert owner is not None
        run = owner["status"]["run"]
        assert (step["name"], step["report"], stored["metadata"]["name"]) == ("Migrate", step["job"], step["job"])
        assert stored["spec"] == {
            "migration": {"name": KEY, "uid": owner["metadata"]["uid"]},
            "run": run["id"],
            "attempt": 1,
            "image": "shop:v2",
            "release": "",
            "budget": 2,
        }
        timeline = Timeline()
        for line in a_busy_log().lines:
            timeline.add(line)
        assert stored["report"] == timeline.content(), "no field is pruned"
        (job,) = await scene.jobs("migrate")
        assert stored["metadata"]["labels"] == job["metadata"]["labels"]
        assert job["spec"]["ttlSecondsAfterFinished"] > 0 if job["status"].get("completionTime") else True

        seen = await observe.observe(client, "report", KEY, "default")
        assert seen is not None
        again = StoreReport(step["job"], "pod", run["id"], 1, "shop:v2", "")
        asked = len(WithLogs.logs.asked)
        assert await reports.store(client, seen, again) == step["job"]
        assert len(WithLogs.logs.asked) == asked, "what is stored is not read again"
    await client.close()


async def test_the_newest_ten_reports_are_kept_and_people_find_them(controller_server: Path) -> None:
    client = await connect(controller_server, WithLogs)
    async with stage(controller_server, "keep") as scene:
        await scene.set_up(migration={"framework": "Command", "command": ["true"]}, backup=NO_BACKUP)
        seen = await observe.observe(client, "keep", KEY, "default")
        assert seen is not None
        names = [f"shop-db-migrate-{n:02d}" for n in range(REPORTS_KEPT + 2)]
        for n, name in enumerate(names):
            assert await reports.store(client, seen, StoreReport(name, "pod", f"run-{n}", 1, "shop:v2", "")) == name
        kept = sorted(item["metadata"]["name"] for item in await client.list(paths.reports("keep")))
        assert kept == names[2:]

        found = [
            await cluster._find(client, "keep", *wanted)
            for wanted in ((names[5], None), (KEY, None), (None, "run-7"), (None, None))
        ]
        assert [item["metadata"]["name"] for item in found] == [names[5], names[-1], names[7], names[-1]]
        with pytest.raises(NoReport, match="kubectl get dmr"):
            await cluster._find(client, "keep", "nothing", None)

        environment = {**os.environ, "KUBECONFIG": str(controller_server)}
        command = [sys.executable, "-m", "locktender", "report", KEY, "-n", "keep"]
        shown = await asyncio.to_thread(
            subprocess.run, command, env=environment, capture_output=True, text=True, check=True
        )
        assert "The migration was stopped: others had waited for it as long as its lock budget allows" in shown.stdout
    await client.close()
