"""The verbs. Results go to standard output, progress and errors to standard error, exit code 1 for a ClusterError."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

from tools.cluster import addons, apiserver, images, network, node, postgres_binaries, processes, provider
from tools.cluster.cache import locked
from tools.cluster.progress import Progress
from tools.cluster.settings import VERSIONS, ClusterError, Settings, checked_version


def main(arguments: list[str] | None = None) -> int:
    """Run one verb."""
    chosen = _parser().parse_args(arguments)
    try:
        code: int = chosen.run(chosen, Progress())
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tools.cluster", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: object, about: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=about, description=about)
        added.set_defaults(run=run)
        return added

    verb("up", _up, "have a cluster running; prints its kubeconfig")
    verb("down", _down, "remove the cluster and everything it left on the machine")
    verb("status", _status, "say what runs; exit code 0 when all of it does")
    verb("env", _env, "print shell lines that set KUBECONFIG and PATH")
    verb("recycle-volumes", _recycle, "wipe and offer again the volumes of deleted claims")
    some = verb("images", _images, "build the test images and import them")
    some.add_argument("names", nargs="*", help="base, postgres:14 ... postgres:18, operator, runner; all without names")
    build = verb("image", _image, "build one image from a folder and import it")
    build.add_argument("action", choices=["build"])
    build.add_argument("name", help="NAME:TAG as pods give it")
    build.add_argument("context", type=Path, help="folder with a Dockerfile")
    build.add_argument("--build-arg", action="append", default=[], metavar="K=V")
    build.add_argument("--file", type=Path, help="another Dockerfile")
    for name, run, about in (
        ("apiserver", _apiserver, "start etcd and an API server without a node; prints the kubeconfig"),
        ("apiserver-down", _apiserver_down, "stop it and delete its data"),
    ):
        added = verb(name, run, about)
        added.add_argument("--state", type=Path, default=Path("/tmp/locktender-apiserver"))  # noqa: S108
        added.add_argument("--controller-manager", action="store_true")
        added.add_argument("--version", default=os.environ.get("K8S") or VERSIONS[0], type=checked_version)
    return parser


def _up(_: argparse.Namespace, progress: Progress) -> int:
    print(provider.up(Settings.from_environment(), progress))
    return 0


def _down(_: argparse.Namespace, progress: Progress) -> int:
    provider.down(Settings.from_environment(), progress)
    return 0


def _status(_: argparse.Namespace, __: Progress) -> int:
    settings = node.known(Settings.from_environment().state)
    if settings is None:
        print("No node.")
        return 1
    if settings.netns:
        network.enter_namespace(settings.netns, create=False)
    found = {name: processes.running(settings.state, name) for name in node.COMPONENTS}
    for name, process in found.items():
        print(f"{name:24} {f'running, process {process.pid}' if process else 'not running'}")
    print(f"Kubernetes {settings.version}, kubeconfig {settings.kubeconfig}")
    return 0 if all(found.values()) else 1


def _env(_: argparse.Namespace, __: Progress) -> int:
    settings = Settings.from_environment()
    print(f"export KUBECONFIG={provider.kubeconfig(settings)}")
    print(f'export PATH="{settings.state}/bin:$PATH"')
    return 0


def _recycle(_: argparse.Namespace, progress: Progress) -> int:
    settings = node.known(Settings.from_environment().state)
    if settings is None:
        return 0  # kind and other clusters provision volumes themselves
    if settings.netns:
        network.enter_namespace(settings.netns, create=False)
    with locked(node.lock_file(settings)):
        with contextlib.closing(node.Node(settings, {}).api()) as api:
            wiped = addons.recycle_volumes(api, settings)
        progress.say(f"wiped {wiped} volumes")
    return 0


def _images(chosen: argparse.Namespace, progress: Progress) -> int:
    from tools.cluster import project_images

    wanted = chosen.names or [
        "base",
        *(f"postgres:{major}" for major in postgres_binaries.MAJORS),
        "operator",
        "runner",
    ]
    for name in wanted:
        kind, _, major = name.partition(":")
        if kind == "postgres":
            image = images.postgres(int(major or 17), progress)
        elif kind == "base":
            image = images.loaded_base(progress)
        elif kind in {"operator", "runner"}:
            image = project_images.build(kind, progress)
        else:
            raise ClusterError(f"There is no image {name}: base, postgres:MAJOR, operator, runner.")
        provider.deliver(Settings.from_environment(), image, progress)
        print(image.name)
    return 0


def _image(chosen: argparse.Namespace, progress: Progress) -> int:
    image = images.from_folder(chosen.name, chosen.context.absolute(), tuple(chosen.build_arg), chosen.file, progress)
    provider.deliver(Settings.from_environment(), image, progress)
    print(image.name)
    return 0


def _apiserver(chosen: argparse.Namespace, progress: Progress) -> int:
    print(apiserver.start(chosen.state, chosen.version, progress, controller_manager=chosen.controller_manager))
    return 0


def _apiserver_down(chosen: argparse.Namespace, _: Progress) -> int:
    apiserver.stop(chosen.state)
    return 0
