"""The operator, running: its real watch, queue and reconciler in a thread of this process, or the real program in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from locktender.kube.act import Actor
from locktender.kube.client import Client
from locktender.runtime import watch
from locktender.runtime.queue import WorkQueue
from locktender.runtime.reconciler import Reconciler
from locktender.settings import Settings
from locktender.telemetry.metrics import Metrics
from tools.render import render

START_SECONDS = 20.0
QUIET = 0.5  # seconds without a call: it is at rest
ROOT = Path(__file__).parents[2]


class Operator:
    """The operator in a thread. `stop` cuts it off wherever it is, as a crash does; `start` begins anew and knows nothing."""

    def __init__(self, kubeconfig: Path, namespaces: tuple[str, ...] = (), workers: int = 4) -> None:
        self.kubeconfig, self.namespaces, self.workers = kubeconfig, namespaces, workers
        self.calls = 0
        self.writes = 0
        self.metrics = Metrics()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._error: BaseException | None = None

    @property
    def running(self) -> bool:
        return self._thread is not None

    def start(self) -> Self:
        assert self._thread is None
        self._ready.clear()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self._thread.start()
        assert self._ready.wait(START_SECONDS), f"the operator did not start: {self._error!r}"
        return self

    def count(self, metric: str, **labels: str) -> float:
        """A counter's value since the last start."""
        return self.metrics.registry.get_sample_value(f"{metric}_total", labels) or 0.0

    def assert_rests(self, seconds: float = 10.0) -> None:
        """No hot loop: with nothing left to do it makes no call."""
        end = time.monotonic() + seconds
        calls = -1
        while calls != self.calls:
            assert time.monotonic() < end, (
                f"the operator does not come to rest: {self.calls - calls} calls in {QUIET} s"
            )
            calls = self.calls
            time.sleep(QUIET)

    def stop(self) -> None:
        if self._thread is None:
            return
        if self._loop is not None and self._work is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._work.cancel)
        self._thread.join(START_SECONDS)
        assert not self._thread.is_alive(), "the operator does not stop"
        self._thread = None
        if self._error is not None:
            raise AssertionError("the operator died") from self._error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001  # `stop` tells the test
            self._error = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        configuration = Configuration()
        configuration.retries = False
        await config.load_kube_config(config_file=str(self.kubeconfig), client_configuration=configuration)
        client = Client(ApiClient(configuration), self._count)
        try:
            self._loop, self._work = asyncio.get_running_loop(), asyncio.current_task()
            await self._live(client)
        finally:
            await client.close()
            await asyncio.sleep(0.1)  # the loop closes the connections that kopf and aiohttp have let go of

    async def _live(self, client: Client) -> None:
        """What runtime/main.py does once it leads."""
        queue = WorkQueue(time.monotonic)
        settings = Settings(
            runner_image="runner:test",
            pod_name="operator",
            lease_namespace=render.NAMESPACE,
            namespaces=self.namespaces,
        )
        self.metrics = Metrics()
        reconciler = Reconciler(Actor(client, settings, 37), queue, self.metrics, self.namespaces)
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(reconciler.work())
            group.create_task(reconciler.resync())
            group.create_task(self._announce(ready))
            group.create_task(watch.watch(queue, self.namespaces, ready, lambda: None))

    async def _announce(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._ready.set()

    def _count(self, method: str, _outcome: str, _seconds: float) -> None:
        self.calls += 1
        self.writes += method != "GET"


class OperatorProcess:
    """`python -m locktender controller` as its image starts it. `kill` is SIGKILL: nothing is said or tidied."""

    def __init__(self, kubeconfig: Path, log: Path, **environment: str) -> None:
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(ROOT / "operator"),
            "LOCKTENDER_RUNNER_IMAGE": "runner:test",
            "LOCKTENDER_LEASE_NAMESPACE": render.NAMESPACE,
            **environment,
        }
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "locktender", "controller"),
                env={**self._environment, "LOCKTENDER_PORT": port},
                stdout=output,
                stderr=output,
            )
        return self

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=START_SECONDS)
            self._process = None
