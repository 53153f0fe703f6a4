"""Helm 3 and Helm 4 with the chart of examples/helm, filled with the tests' application."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.kit import manifests
from tests.cluster.kit.world import World
from tools.cluster import clients
from tools.cluster.progress import Progress
from tools.kube.api import environment

CHART = Path(__file__).resolve().parents[3] / "examples" / "helm"
NAME = "app"  # the release; its Deployment is called the same, its DatabaseMigration app-db
HOOK = f"{NAME}-smoke-test"
TIMEOUT = 150  # seconds


@dataclass(frozen=True)
class Helm:
    """One Helm and the namespace it installs into."""

    world: World
    program: str

    def upgrade(self, release: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`helm upgrade --install --wait`, to its end, however it ends."""
        return self.world.stage.run_unchecked(*self._command(release, *arguments))

    def start(self, release: str, *arguments: str) -> subprocess.Popen[str]:
        """The same, while the test goes on."""
        known = environment(self.world.stage.kubeconfig, self.world.stage.tools)
        command = self._command(release, *arguments)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=known)

    def run(self, *arguments: str) -> str:
        """Another command of helm."""
        return self.world.stage.run(self.program, *arguments, "--namespace", self.world.name).stdout

    def history(self) -> list[tuple[str, str]]:
        """Status and description of each revision, oldest first."""
        return [(item["status"], item["description"]) for item in json.loads(self.run("history", NAME, "-o", "json"))]

    def _command(self, release: str, *arguments: str) -> tuple[str, ...]:
        repository, _, tag = manifests.image(release).rpartition(":")
        values = {
            "image": {"repository": repository, "tag": tag},
            "database": {"secretName": manifests.SECRET},
            "backup": {"policy": "Skip", "reason": "the test throws the database away", "storage": None},
        }
        return (
            self.program, "upgrade", "--install", NAME, str(CHART), "--namespace", self.world.name,
            "--wait", f"--timeout={TIMEOUT}s", "--set-json", f"image={json.dumps(values['image'])}",
            "--set-json", f"database={json.dumps(values['database'])}", "--set-json", f"backup={json.dumps(values['backup'])}",
            *arguments,
        )  # fmt: skip


def helm_3() -> str:
    """Helm 3, built from its module."""
    return str(clients.program(clients.HELM_3, Progress(quiet=True)))
