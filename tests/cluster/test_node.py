"""What `python3 -m tools.cluster` promises about the node itself, on a second node beside the one that other tests use.

The second node has a state folder and a network namespace of its own: nothing here touches the first.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

ROOT = Path(__file__).resolve().parents[2]
NETNS = "locktender-test"
SECOND_UP_SECONDS = 15


def command(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tools.cluster", *arguments]


def environment(state: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("LOCKTENDER_")}
    return {**kept, "LOCKTENDER_STATE": str(state), "LOCKTENDER_NETNS": NETNS, **more}


def cluster(state: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(state, *arguments),
        cwd=ROOT,
        env=environment(state, **more),
        capture_output=True,
        text=True,
        check=False,
    )


def begin(state: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(state, *arguments),
        cwd=ROOT,
        env=environment(state),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def pid_of(state: Path, component: str) -> int:
    return int(json.loads((state / "pids" / f"{component}.json").read_text())["pid"])


def kubectl(state: Path, *arguments: str, stdin: str | None = None) -> str:
    inside = [
        "nsenter",
        f"--net=/run/netns/{NETNS}",
        str(state / "bin" / "kubectl"),
        "--kubeconfig",
        str(state / "kubeconfig"),
    ]
    return subprocess.run([*inside, *arguments], input=stdin, capture_output=True, text=True, check=True).stdout


def traces(state: Path) -> dict[str, set[str]]:
    """What the second node could leave on the machine. Things of the first node, which go on living, are not listed."""
    processes = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(state) in line or run_folder(state) in line:
            processes.add(line)
    mounts = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    return {
        "processes": processes,
        "mounts": {m for m in mounts if m.startswith((str(state), run_folder(state), "/run/netns/" + NETNS))},
        "namespaces": {path.name for path in Path("/run/netns").glob(NETNS)},
        "links": set(
            subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.split("\n")
        ),
        "folders": {
            str(p) for p in (state, Path(run_folder(state)), state.with_name(f".{state.name}.lock")) if p.exists()
        },
    }


def run_folder(state: Path) -> str:
    from tools.cluster.settings import Settings

    return str(Settings(state=state).run)


def cgroups_of(ids: set[str]) -> set[Path]:
    return {path for name in ids for path in Path("/sys/fs/cgroup").glob(f"**/{name}")}


POD = """
apiVersion: v1
kind: Pod
metadata: {name: sleeper, namespace: default}
spec:
  containers:
  - {name: main, image: localhost/locktender/base:trixie, command: [sleep, infinity]}
"""


@pytest.fixture
def state(tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("a node needs root")
    if os.environ.get("LOCKTENDER_KUBECONFIG") or shutil.which("kind"):
        pytest.skip("these promises are the native node's")
    folder = tmp_path / "node"
    yield folder
    removed = cluster(folder, "down")
    assert removed.returncode == 0, removed.stderr


def test_a_second_up_is_quick_and_restarts_nothing(state: Path):
    first = cluster(state, "up")
    assert first.returncode == 0, first.stderr
    before = {path.name: path.read_text() for path in (state / "pids").iterdir()}

    begun = time.monotonic()
    second = cluster(state, "up")

    assert second.returncode == 0, second.stderr
    assert time.monotonic() - begun < SECOND_UP_SECONDS
    assert second.stdout == first.stdout == f"{state}/kubeconfig\n"
    assert {path.name: path.read_text() for path in (state / "pids").iterdir()} == before


@pytest.mark.parametrize("component", ["etcd", "kube-apiserver", "containerd", "kubelet"])
def test_up_repairs_a_node_whose_component_was_killed(state: Path, component: str):
    assert cluster(state, "up").returncode == 0
    killed = pid_of(state, component)
    os.kill(killed, signal.SIGKILL)
    assert cluster(state, "status").returncode == 1

    repaired = cluster(state, "up")

    assert repaired.returncode == 0, repaired.stderr
    assert pid_of(state, component) != killed
    assert "Ready" in kubectl(state, "get", "nodes")


def test_down_leaves_nothing_behind(state: Path):
    before = traces(state)
    assert cluster(state, "up").returncode == 0
    assert cluster(state, "images", "base").returncode == 0
    for index in range(5):
        kubectl(state, "apply", "-f", "-", stdin=POD.replace("sleeper", f"sleeper-{index}"))
    kubectl(state, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    containers = {path.name for path in Path(run_folder(state)).glob("io.containerd.runtime.v2.task/k8s.io/*")}
    assert cgroups_of(containers)

    removed = cluster(state, "down")

    assert removed.returncode == 0, removed.stderr
    assert traces(state) == before
    assert cgroups_of(containers) == set()


def test_down_after_everything_was_killed_leaves_nothing_behind(state: Path):
    before = traces(state)
    assert cluster(state, "up").returncode == 0
    for record in (state / "pids").iterdir():
        os.kill(int(json.loads(record.read_text())["pid"]), signal.SIGKILL)

    assert cluster(state, "down").returncode == 0
    assert traces(state) == before


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.5, 3.0])
def test_up_succeeds_after_an_up_that_was_killed_half_way(state: Path, seconds: float):
    first = begin(state, "up")
    time.sleep(seconds)  # the moment of the kill is what this test varies
    first.kill()
    first.communicate()

    second = cluster(state, "up")

    assert second.returncode == 0, second.stderr
    assert "Ready" in kubectl(state, "get", "nodes")


def test_two_simultaneous_ups_both_succeed_with_one_kubelet(state: Path):
    both = [begin(state, "up"), begin(state, "up")]
    outputs = [process.communicate() for process in both]

    assert [process.returncode for process in both] == [0, 0], outputs
    kubelets = [p for p in traces(state)["processes"] if "/kubelet --kubeconfig" in p]
    assert len(kubelets) == 1


def test_other_settings_for_a_running_node_are_refused_with_what_to_do(state: Path):
    assert cluster(state, "up").returncode == 0

    refused = cluster(state, "up", LOCKTENDER_BRIDGE="other0")

    assert refused.returncode == 1
    assert "Remove it first: python3 -m tools.cluster down" in refused.stderr


def test_a_port_in_use_is_named_before_anything_starts(state: Path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 12379))
        taken.listen()
        refused = cluster(state, "up", LOCKTENDER_PORT_OFFSET="10000", LOCKTENDER_NETNS="")

    assert refused.returncode == 1
    assert "Port 12379 (etcd) is in use" in refused.stderr
    assert not (state / "pids").exists()


def test_a_process_that_ended_but_was_not_collected_counts_as_stopped():
    from tools.cluster.processes import stop_pid

    ended = subprocess.Popen(["true"])
    while Path(f"/proc/{ended.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)

    begun = time.monotonic()
    stop_pid(ended.pid, grace=5.0)

    assert time.monotonic() - begun < 1.0
    ended.wait()
