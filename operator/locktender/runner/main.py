"""`locktender runner ...`: choose a program, run it, and turn whatever happens into one report and one exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from locktender.runner.settings import EXIT_DONE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

DESCRIPTION = """\
The work next to a database. The operator's Jobs call these; `sql` is also for your own machine.

Every program reads the database's URL from LOCKTENDER_DATABASE_URL, for example
postgresql://user:password@host:5432/database?sslmode=require
Exit codes: 0 done; 1 failed, a person has to act; 75 may come right by waiting.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    import argparse

    top = argparse.ArgumentParser(
        prog="locktender runner", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    programs = top.add_subparsers(dest="program", metavar="PROGRAM", required=True)
    programs.add_parser(
        "backup", help="dump the database into LOCKTENDER_BACKUP_DIR, verified in full, under LOCKTENDER_BACKUP_ID"
    )
    programs.add_parser("agent", help="hold the fence of a migration until SIGTERM (a sidecar)")
    programs.add_parser("agent-wait", help="wait until the agent of this pod holds the fence (its postStart hook)")
    actions = programs.add_parser("sql", help="apply, undo or list SQL migration files").add_subparsers(
        dest="action", metavar="ACTION", required=True
    )
    up = actions.add_parser("up", help="apply the files that are not applied yet, oldest first")
    up.add_argument("--to", metavar="VERSION", help="stop after this version (14 digits)")
    up.add_argument(
        "--allow-out-of-order", action="store_true", help="also apply files older than the newest applied one"
    )
    down = actions.add_parser("down", help="undo applied files, newest first")
    how_far = down.add_mutually_exclusive_group()
    how_far.add_argument("--to", metavar="VERSION", help="undo everything newer than this version")
    how_far.add_argument("--steps", type=_positive, metavar="N", help="undo the newest N files (default 1)")
    status = actions.add_parser("status", help="list the files and whether they are applied")
    status.add_argument("--output", choices=("text", "json"), default="text")
    for each in (up, down, status):
        each.add_argument(
            "--path", metavar="DIR", help="the files (default LOCKTENDER_MIGRATIONS_DIR, then db/migrations)"
        )
    return top


def _positive(text: str) -> int:
    import argparse

    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("give a number from 1 upwards")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one program; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given == ["agent-wait"]:  # these two are asked for in every migration pod: nothing else is imported
        from locktender.runner.agent.wait import main as wait

        return wait()
    if given == ["agent"]:
        from locktender.runner.agent.main import main as agent

        return agent()
    options = parser().parse_args(given)
    if options.program == "backup":
        from locktender.runner.backup.main import main as backup

        return reported("backup", backup)
    from locktender.runner.sql.main import main as sql

    return reported("sql", lambda: sql(options))


def reported(kind: str, program: Callable[[], dict[str, Any]]) -> int:
    """Run `program`, whose result is the successful report; write the report of its end, good or bad; the exit code."""
    from locktender.runner import signals, termination
    from locktender.runner.errors import classify

    try:
        signals.raise_on_termination()
        report, code = {"kind": kind, "outcome": "Succeeded", **program()}, EXIT_DONE
    except Exception as problem:  # noqa: BLE001  # the last line of defence: everything becomes a report
        failure = classify(problem)
        report = {"kind": kind, "outcome": failure.outcome, "reason": failure.reason, "message": failure.message}
        report |= failure.facts
        code = failure.exit_code
        print(f"locktender {kind}: {failure.reason}: {failure.message}", file=sys.stderr, flush=True)
    termination.write(report)
    return code
