"""`locktender report`: what a migration did to the sessions of others, told after it, as text, JSON or a page with a picture."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from locktender.cli import report_page, report_text, story
from locktender.core.errors import ApiError

EXIT_SHOWN, EXIT_NONE, EXIT_USAGE = 0, 1, 2
DESCRIPTION = """\
What a migration did to the sessions of others: who waited, how long and for what, who stood in the migration's own way, and what was
cancelled. Every attempt of a migration leaves such a report (kubectl get dmr); the newest ten of each DatabaseMigration are kept.
"""
EXAMPLES = """\
examples:
  locktender report                          the newest report of the namespace
  locktender report shop-db                  the newest one of the DatabaseMigration shop-db
  locktender report --run 3f9a1c2b-1-9d04    the newest attempt of that run (the run is in: kubectl get dbm shop-db -o yaml)
  locktender report shop-db -o html > report.html      a page with the lock timeline; it needs no network
  kubectl get dmr NAME -o json | locktender report --file -

It reads MigrationReports with your own rights (verbs get and list). Exit code: 0 shown, 1 there is no such report or the cluster
does not give it, 2 wrong use.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="locktender report",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument(
        "name", nargs="?", metavar="NAME", help="a MigrationReport, or a DatabaseMigration for its newest"
    )
    which.add_argument("--run", metavar="ID", help="the newest attempt of this run")
    which.add_argument(
        "--file", metavar="F", help="a MigrationReport as JSON instead of the cluster; - is standard input"
    )
    made.add_argument("-n", "--namespace", help="where to look; else that of the kubeconfig's context")
    made.add_argument("-o", "--output", choices=("text", "json", "html"), default="text", help="how to show it (text)")
    made.add_argument("--color", choices=("auto", "always", "never"), default="auto", help="colours of the text (auto)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code."""
    given = parser().parse_args(arguments)
    try:
        raw = _from_file(given.file) if given.file else asyncio.run(_from_cluster(given))
        told = story.read(raw)
    except (story.NoReport, ApiError, OSError) as problem:
        print(f"locktender report: {problem}", file=sys.stderr)
        return EXIT_NONE
    if given.output == "json":
        print(json.dumps(raw, indent=2, ensure_ascii=False))
    elif given.output == "html":
        sys.stdout.write(report_page.page(told))
    else:
        colours = given.color == "always" or (given.color == "auto" and sys.stdout.isatty())
        sys.stdout.write(report_text.text(told, report_text.Style(colours)))
    return EXIT_SHOWN


def _from_file(name: str) -> Any:
    text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError as problem:
        raise story.NoReport(f"{name} holds no JSON: {problem}") from problem


async def _from_cluster(given: argparse.Namespace) -> Any:
    """The object. Imports the Kubernetes client only here: a file needs none."""
    from locktender.cli import cluster

    try:
        return await cluster.find(given.namespace, given.name, given.run)
    except cluster.NoCluster as problem:
        raise story.NoReport(str(problem)) from problem
