"""What the demo needs before it begins: a node, images, Locktender from its chart. Each step is quick when its result is there."""

import contextlib
import io
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tools.cluster import commands, images, project_images, provider
from tools.cluster.progress import Progress
from tools.cluster.settings import Settings
from tools.demo.screen import Screen
from tools.kube.api import environment

ROOT = Path(__file__).resolve().parents[2]
SHOP = ROOT / "examples" / "shop"
VERSIONS = ("v1", "v2", "v3")
SYSTEM = "locktender-system"


@dataclass(frozen=True)
class ScreenProgress(Progress):
    """The cluster's own progress, told on our screen."""

    screen: Screen = field(default_factory=Screen)

    def say(self, message: str) -> None:
        """A quiet line."""
        self.screen.say("quiet", message)


@dataclass(frozen=True)
class Stage:
    """A cluster that is up."""

    kubeconfig: Path
    tools: Path

    @property
    def kubectl(self) -> str:
        """The kubectl that was built with the node, else the one on PATH."""
        own = self.tools / "kubectl"
        return str(own) if own.exists() else "kubectl"

    def run(self, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl or helm on this cluster. AssertionError with what it said when it fails."""
        done = self.run_unchecked(*command, text=text)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done

    def run_unchecked(self, *command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """The same, for a command that may fail."""
        known = environment(self.kubeconfig, self.tools)
        return subprocess.run(command, input=text, capture_output=True, text=True, env=known, check=False)


def cluster(progress: Progress) -> Stage:
    """Have a cluster up."""
    settings = Settings.from_environment()
    kubeconfig = provider.up(settings, progress)
    return Stage(kubeconfig, settings.state / "bin")


def project(progress: Progress) -> str:
    """Have Locktender's own images in the cluster. The key of the operator's, which changes with its content."""
    built = {target: project_images.build(target, progress) for target in ("operator", "runner")}
    for image in built.values():
        provider.deliver(Settings.from_environment(), image, progress)
    return built["operator"].key


def postgres(major: int, progress: Progress) -> None:
    """Have the image of a PostgreSQL server in the cluster."""
    provider.deliver(Settings.from_environment(), images.postgres(major, progress), progress)


def shop(version: str, progress: Progress) -> None:
    """Have a version of the shop in the cluster."""
    built = images.from_folder(f"localhost/shop:{version}", SHOP / "app", (f"VERSION={version}",), None, progress)
    provider.deliver(Settings.from_environment(), built, progress)


def install(stage: Stage, key: str, *values: str) -> None:
    """Install Locktender from its chart, or bring an installation up to date."""
    own = [
        f"{where}.{what}"
        for where in ("image", "runner.image")
        for what in ("registry=localhost", "tag=dev", "pullPolicy=Never")
    ]
    # The tag stays the same from build to build: the annotation makes the chart's Deployment roll out a new one.
    names = [
        f"podAnnotations.image-key={key}",
        "image.repository=locktender/operator",
        "runner.image.repository=locktender/runner",
    ]
    settings = [part for value in (*own, *names, *values) for part in ("--set", value)]
    chart = str(ROOT / "charts" / "locktender")
    stage.run(
        "helm", "upgrade", "--install", "locktender", chart, "--namespace", SYSTEM, "--create-namespace",
        "--wait", "--timeout", "180s", "--history-max", "3", *settings,
    )  # fmt: skip


def recycle_volumes() -> None:
    """Wipe the volumes of deleted claims and offer them again."""
    with contextlib.redirect_stderr(io.StringIO()):
        commands.main(["recycle-volumes"])
