"""The one entry point: `locktender COMMAND`, or `python -m locktender COMMAND` in the images.

Each command is imported only when it is chosen: the controller's image has no database driver, the runner's no Kubernetes client, and
a migration waits for what the runner's programs import.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from locktender import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

DESCRIPTION = """\
Locktender backs up and migrates a database before each rollout of its application.

In a cluster:      the chart runs `controller`; the Jobs it makes run `runner ...`.
On your machine:   export LOCKTENDER_DATABASE_URL=postgresql://user:password@host/database
                   locktender runner sql status --path ./db/migrations
                   locktender runner sql up     --path ./db/migrations
"""
COMMANDS = {
    "controller": "watch the cluster, hold rollouts at the gate, run backups and migrations (needs a Kubernetes account)",
    "gate-webhook": "answer the API server's questions at the gate: pause and mark (Kubernetes 1.30 to 1.35)",
    "release-all": "let everything go that is held at a gate; the chart runs it before it is uninstalled",
    "report": "what a migration did to other sessions: as text, JSON or a page with a picture (your kubeconfig)",
    "runner": "the work inside a Job: backup, sql, agent; `locktender runner --help` lists them",
    "version": "print the version",
}


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="locktender", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        # These parse the rest themselves, so that their options stand beside their code.
        commands.add_parser(name, help=text, description=text, add_help=name not in ("report", "runner"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["runner"]:
        from locktender.runner.main import main as runner

        return runner(given[1:])
    if given[:1] == ["report"]:
        from locktender.cli.report import main as report

        return report(given[1:])
    command = _parser().parse_args(given).command
    if command == "controller":
        from locktender.runtime.main import main as controller

        return controller()
    if command == "gate-webhook":
        from locktender.webhook.main import main as gate_webhook

        return gate_webhook()
    if command == "release-all":
        from locktender.runtime.uninstall import main as release_all

        return release_all()
    print(f"locktender {__version__}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
