"""Which cluster it is: one that is given, kind where Docker runs, else the native node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cluster import golang, images, network, node, teardown
from tools.cluster.cache import locked
from tools.cluster.settings import ClusterError, Settings

if TYPE_CHECKING:
    from tools.cluster.progress import Progress

KIND_CLUSTER = "locktender"
# Published node images do not exist for every patch release.
KIND_IMAGES = {"1.37.2": "kindest/node:v1.37.2", "1.35.4": "kindest/node:v1.35.4"}


def up(settings: Settings, progress: Progress) -> Path:
    """Have a cluster running; returns the path of its kubeconfig."""
    given = os.environ.get("LOCKTENDER_KUBECONFIG")
    if given:
        if not Path(given).is_file():
            raise ClusterError(f"LOCKTENDER_KUBECONFIG names {given}, which is no file.")
        progress.say(f"using the cluster of {given}")
        return Path(given)
    return _kind_up(settings, progress) if kind_works() else node.up(settings, progress)


def down(settings: Settings, progress: Progress) -> None:
    """Remove the cluster that `up` made; one that was given stays."""
    if os.environ.get("LOCKTENDER_KUBECONFIG"):
        progress.say("leaving the cluster of LOCKTENDER_KUBECONFIG as it is")
        return
    if kind_works():
        subprocess.run(("kind", "delete", "cluster", "--name", KIND_CLUSTER), check=True)
        return
    if os.geteuid() != 0:
        raise ClusterError("Removing a node needs root. Run it with sudo.")
    settings.state.parent.mkdir(parents=True, exist_ok=True)
    with locked(node.lock_file(settings), lambda: progress.say("waiting: another `up` or `down` works on this node")):
        made = node.known(settings.state)
        if made is None:
            progress.say("there is no node")
        elif not made.netns or network.enter_namespace(made.netns, create=True):
            teardown.remove(made, progress)
        node.lock_file(settings).unlink(missing_ok=True)


def deliver(settings: Settings, image: images.Image, progress: Progress) -> None:
    """Bring `image` to the cluster's node."""
    if os.environ.get("LOCKTENDER_KUBECONFIG"):
        progress.say(f"{image.name} is not brought to the given cluster; its archive is {image.archive}")
    elif kind_works():
        images.import_into_kind(KIND_CLUSTER, image, progress)
    else:
        programs = golang.built((golang.CONTAINERD,), progress)
        images.import_into_node(settings, image, programs["ctr"], progress)


def kubeconfig(settings: Settings) -> Path:
    """The kubeconfig of the cluster that `up` gives."""
    given = os.environ.get("LOCKTENDER_KUBECONFIG")
    return Path(given) if given else settings.kubeconfig


def kind_works() -> bool:
    """Whether a Docker engine answers and kind is installed."""
    if not (shutil.which("docker") and shutil.which("kind")):
        return False
    return subprocess.run(("docker", "info"), capture_output=True, check=False).returncode == 0


def _kind_up(settings: Settings, progress: Progress) -> Path:
    config = settings.kubeconfig
    config.parent.mkdir(parents=True, exist_ok=True)
    existing = network.run("kind", "get", "clusters").split()
    if KIND_CLUSTER not in existing:
        progress.say("creating a kind cluster")
        image = KIND_IMAGES[settings.version]
        subprocess.run(("kind", "create", "cluster", "--name", KIND_CLUSTER, "--image", image, "--wait", "120s",
                        "--kubeconfig", str(config)), check=True)  # fmt: skip
    subprocess.run(("kind", "export", "kubeconfig", "--name", KIND_CLUSTER, "--kubeconfig", str(config)), check=True)
    return config
