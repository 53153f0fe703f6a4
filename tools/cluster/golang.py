"""Builds the cluster's programs from Go modules whose go.mod and go.sum are committed under go/."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tools.cluster import cache
from tools.cluster.settings import VERSIONS, ClusterError, cache_root

if TYPE_CHECKING:
    from tools.cluster.progress import Progress

MODULES = Path(__file__).parent / "go"
GO_FLAGS = ("-mod=readonly", "-trimpath", "-buildvcs=false", "-pgo=off")


@dataclass(frozen=True)
class Stage:
    """Programs of one Go module that are built by one `go build`; `seconds` is the cold time seen on 2 cores."""

    name: str
    module: str
    packages: tuple[str, ...]
    seconds: int
    ldflags: str = "-s -w"
    tags: str = ""
    names: tuple[str, ...] = ()

    def programs(self) -> tuple[str, ...]:
        """File names of what comes out: `names` where given, else as the packages are called."""
        return self.names or tuple(self.name if p == "." else _program(p) for p in self.packages)


def _program(package: str) -> str:
    return "etcd" if package.startswith("go.etcd.io/etcd/server/") else package.rsplit("/", 1)[-1]


def _kubernetes(version: str, name: str, seconds: int, *programs: str) -> Stage:
    major, minor, _ = version.split(".")
    variable = "-X k8s.io/component-base/version.git"
    return Stage(
        name=f"{name}-{version}",
        module=f"kubernetes-{major}.{minor}",
        packages=tuple(f"k8s.io/kubernetes/cmd/{program}" for program in programs),
        seconds=seconds,
        ldflags=f"-s -w {variable}Version=v{version} {variable}Major={major} {variable}Minor={minor}",
    )


ETCD = Stage("etcd", "etcd", ("go.etcd.io/etcd/server/v3",), 45)
KUBECTL = _kubernetes(VERSIONS[0], "kubectl", 30, "kubectl")
CONTAINERD = Stage(
    "containerd",
    "containerd",
    tuple(f"github.com/containerd/containerd/v2/cmd/{p}" for p in ("containerd", "containerd-shim-runc-v2", "ctr")),
    55,
    tags="no_btrfs,no_zfs,no_devmapper,no_aufs",
)
COREDNS = Stage("coredns", "coredns", (".",), 50)
HELM = Stage(
    "helm",
    "helm",
    ("helm.sh/helm/v4/cmd/helm",),
    70,
    ldflags="-s -w -X helm.sh/helm/v4/internal/version.version=v4.3.1",
)


def api_stages(version: str) -> tuple[Stage, ...]:
    """What an API server alone needs, in the order of use."""
    return (
        ETCD,
        _kubernetes(version, "kube-apiserver", 330, "kube-apiserver"),
        KUBECTL,
        _kubernetes(version, "kube-controller-manager", 45, "kube-controller-manager"),
    )


def node_stages(version: str) -> tuple[Stage, ...]:
    """What a whole node needs, in the order of use; Kubernetes first, because the others reuse what it compiled."""
    node = _kubernetes(version, "kube-node", 75, "kube-scheduler", "kubelet", "kube-proxy")
    return (*api_stages(version), node, CONTAINERD, COREDNS, HELM)


def built(stages: tuple[Stage, ...], progress: Progress) -> dict[str, Path]:
    """The path of each program of `stages`, built where the cache lacks it. ClusterError when Go or a build fails."""
    go = go_version()
    programs: dict[str, Path] = {}
    missing = sum(stage.seconds for stage in stages if not _folder(stage, go).is_dir())
    if missing > 0:
        progress.say(f"compiling Kubernetes and its tools, once: about {max(1, round(missing / 60))} min on 2 cores")
    for stage in stages:
        folder = _stage(stage, go, progress)
        programs.update({program: folder / program for program in stage.programs()})
    return programs


@functools.cache
def go_version() -> str:
    """The Go on PATH, such as go1.26.8."""
    return _go("version").split()[2]


def missing_seconds(stages: tuple[Stage, ...]) -> int:
    """How long the builds that the cache lacks take on 2 cores, in seconds."""
    if shutil.which("go") is None:
        return sum(stage.seconds for stage in stages)
    go = go_version()
    return sum(stage.seconds for stage in stages if not _folder(stage, go).is_dir())


def _name(stage: Stage, go: str) -> str:
    module = MODULES / stage.module
    sources = sorted(module.glob("*.go"))
    flags = " ".join((go, *GO_FLAGS, stage.ldflags, stage.tags, *stage.packages))
    return f"{stage.name}-{cache.key_of(module / 'go.mod', module / 'go.sum', *sources, flags)}"


def _folder(stage: Stage, go: str) -> Path:
    return cache_root() / "go" / _name(stage, go)


def _stage(stage: Stage, go: str, progress: Progress) -> Path:
    def make(folder: Path) -> None:
        progress.say(f"compiling {', '.join(stage.programs())} (about {stage.seconds} s)")
        begun = time.monotonic()
        for package, program in zip(stage.packages, stage.programs(), strict=True):
            tags = ("-tags", stage.tags) if stage.tags else ()
            output = str(folder / program)
            _go(
                "build",
                *GO_FLAGS,
                "-ldflags",
                stage.ldflags,
                *tags,
                "-o",
                output,
                package,
                folder=MODULES / stage.module,
            )
        progress.say(f"compiled {', '.join(stage.programs())} in {time.monotonic() - begun:.0f} s")

    return cache.entry(
        "go", _name(stage, go), make, lambda: progress.say(f"waiting: someone else compiles {stage.name}")
    )


def _go(*arguments: str, folder: Path | None = None) -> str:
    # GOFLAGS of the caller could change the result without changing the key. GOTOOLCHAIN: never fetch another Go.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    try:
        done = subprocess.run(
            ("nice", "go", *arguments), cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as missing:
        raise ClusterError(f"{missing.filename} is not on PATH.") from missing
    if done.returncode != 0:
        raise ClusterError(f"go {arguments[0]} failed:\n{done.stderr.strip()[-3000:]}")
    return done.stdout
