"""A random password is put into the Secret; afterwards it must be nowhere else: not in logs, events, objects, metrics, argv or images."""

import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests.cluster.kit.manifests import SECRET, deployment, migration
from tools.cluster import project_images
from tools.cluster.progress import Progress
from tools.kube.recorder import GROUPS

SYSTEM = "locktender-system"


class CommandLines:
    """Collects every command line that the machine runs while a test goes on: pods of the node are its processes."""

    def __init__(self):
        self.seen = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=10)

    def _look(self):
        while not self._stop.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    self.seen.add((process / "cmdline").read_bytes())
                except OSError:
                    continue  # it has ended


def logs(world, namespace):
    """The logs of every container of a namespace."""
    kubectl = ("kubectl", "-n", namespace)
    pods = world.stage.run(*kubectl, "get", "pods", "-o", "name").stdout.split()
    assert pods
    return "\n".join(
        world.stage.run(*kubectl, "logs", pod, "--all-containers", "--ignore-errors").stdout for pod in pods
    )


@pytest.mark.parametrize("release", ["one", "bad"])
def test_the_password_is_nowhere_but_in_the_secret(a_world, release):
    world = a_world()
    canary = world.database.password
    with CommandLines() as lines:
        world.apply(migration(), deployment(release))
        world.wait(lambda: world.condition("MigrationSucceeded").get("status") in {"True", "False"} and world.migrations_started(),
                   "the migration ended")  # fmt: skip
        world.wait(lambda: world.condition().get("status") == "True" or release == "bad", "ready")
    assert any(b"locktender" in line for line in lines.seen), "no process of a Job was seen"
    assert not [line for line in lines.seen if canary.encode() in line]

    said = logs(world, world.name) + logs(world, SYSTEM)
    assert "locktender" in said
    assert canary not in said
    objects = [event.object for event in world.recorder.seen]
    assert {event.kind for event in world.recorder.seen} >= set(GROUPS) - {"replicasets"}
    assert canary not in str(objects)
    kinds = world.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    kinds = [kind for kind in kinds if kind != "secrets" and "metrics.k8s.io" not in kind]
    everything = world.kubectl("get", ",".join(kinds), "-o", "json")
    assert SECRET in everything
    assert canary not in everything
    for pod in world.stage.run("kubectl", "-n", SYSTEM, "get", "pods", "-o", "name").stdout.split():
        name = pod.removeprefix("pod/")
        metrics = world.api.call("GET", f"/api/v1/namespaces/{SYSTEM}/pods/{name}:8080/proxy/metrics")
        assert "locktender_" in metrics
        assert canary not in metrics


@pytest.mark.parametrize("target", ["operator", "runner"])
def test_the_images_carry_no_credentials(target):
    archive = project_images.build(target, Progress(quiet=True)).archive
    words = (b"PASSWORD=", b"postgresql://", b"BEGIN PRIVATE KEY", b"BEGIN RSA PRIVATE KEY")
    config = subprocess.run(("tar", "-xOf", str(archive), "index.json"), capture_output=True, check=True).stdout
    with tarfile.open(archive) as layout:
        for member in layout.getmembers():
            file = layout.extractfile(member)
            data = file.read() if file else b""
            if data[:1] == b"{":
                assert not [word for word in words if word in data], member.name
    assert config
