"""`locktender runner agent`: the sidecar of a migration. Take the fence, say so, guard the migration until SIGTERM, record the end.

start --taken--> holding --SIGTERM--> row ended, exit 0
  |                 '--session lost--> stop the migration, take again at once, for as long as it takes
  '--refused--> gave-up, termination message, exit 1 or 75

The guard (watch.py) is imported when the migration may start already: nothing of it is in the way of a release.
"""

import os
import select
import signal
import socket
import sys
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from locktender.runner import journal, ledger, redact, termination
from locktender.runner.agent import fence, marks, sessions
from locktender.runner.agent.limits import Limits
from locktender.runner.connect import Connection, Target, connect, parse, require_direct
from locktender.runner.errors import Outcome, Reason, RunnerError, classify
from locktender.runner.settings import EXIT_DONE, EXIT_FAILED, EXIT_TRY_LATER, RETAKE_PAUSE, Identity

if TYPE_CHECKING:
    from locktender.runner.agent.watch import Watch


def main() -> int:
    """The agent's life; the exit code."""
    if (ended := marks.earlier_end()) is not None:
        code, report = ended
        termination.write(report)
        return code
    stop = _Stop()
    try:
        target, holder, limits = parse(), _holder(), Limits.from_environment()
        marks.folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        if marks.held().exists():
            return _restarted(target, holder, stop, limits)
        connection = _first(target, holder)
        _require_wanted(connection, holder, stop)
        baseline = sessions.baseline(connection)
        marks.write_access(target.url(), target.password)
        marks.mark_held(vars(baseline))
        held = time.monotonic()
    except Exception as problem:  # noqa: BLE001  # whatever it is, the migration must not start in this pod
        return _give_up(problem)
    journal.say(
        "held", "the fence is held; the migration may start", run=holder.identity.run, attempt=holder.identity.attempt
    )
    watch = _watch(holder, limits, baseline, held)
    with suppress(psycopg.Error):  # a lost session shows again at once
        watch.open(connection)
    return _hold(connection, target, holder, stop, watch)


class _Stopped(Exception):  # not an error: a request
    """SIGTERM before the fence was held."""


def _require_wanted(connection: Connection, holder: fence.Holder, stop: "_Stop") -> None:
    """Raises _Stopped after SIGTERM: the row must not stay behind as if a migration had run."""
    if stop.asked:
        fence.release(connection, holder)
        raise _Stopped


class _Stop:
    """SIGTERM and SIGINT as a readable socket, so that one `select` waits for them and for the server."""

    def __init__(self) -> None:
        self.socket, self._wake = socket.socketpair()
        self._wake.setblocking(False)  # noqa: FBT003  # the socket module's own signature
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
        with suppress(OSError):
            self._wake.send(b"\0")


def _holder() -> fence.Holder:
    identity = Identity()
    # Without a pod, each process is its own; then nothing can be retaken, which errs on the safe side.
    return fence.Holder(identity, identity.pod_uid or str(uuid.uuid4()))


def _first(target: Target, holder: fence.Holder) -> Connection:
    """The session that holds the fence. Raises RunnerError."""
    connection = connect(target, _name(holder))
    require_direct(connection)
    ledger.ensure(connection, "runs")
    override = os.environ.get("LOCKTENDER_FENCE_OVERRIDE") == "1"
    settled = [run for run in os.environ.get("LOCKTENDER_SETTLED_RUNS", "").split(",") if run]
    for attempt in fence.take(connection, holder, override=override, settled=settled):
        journal.say("overridden", f"its end is known, or a person has said: {attempt}")
    return connection


def _restarted(target: Target, holder: fence.Holder, stop: _Stop, limits: Limits) -> int:
    """The agent's container was restarted while this pod's migration may be running: there is no giving up any more.

    Nobody held the fence meanwhile, so what runs is stopped, as after a lost session.
    """
    from locktender.runner.agent.kept import Kept

    journal.say("restarted", "the agent was restarted in its pod; taking the fence again")
    watch = _watch(holder, limits, sessions.Baseline(**marks.held_facts()), time.monotonic())
    watch.lost, watch.kept = True, Kept(marks.remembered())
    connection = _again(target, holder, stop, watch)
    if connection is None:
        return _end(None, target, holder, watch)
    journal.say("held", "the fence is held again")
    marks.write_access(target.url(), target.password)
    return _hold(connection, target, holder, stop, watch)


def _watch(holder: fence.Holder, limits: Limits, baseline: sessions.Baseline, held: float) -> "Watch":
    """The guard of this pod's migration."""
    from locktender.runner.agent.watch import Watch

    addresses = [each for each in os.environ.get("LOCKTENDER_POD_IPS", "").split(",") if each]
    return Watch(limits, holder.identity.run, addresses, baseline, held)


def _hold(connection: Connection, target: Target, holder: fence.Holder, stop: _Stop, watch: "Watch") -> int:
    """Until SIGTERM."""
    from locktender.runner.agent.watch import Unguarded

    current: Connection | None = connection
    while not stop.asked and current is not None:
        try:
            pause = watch.look(current)
            select.select([stop.socket.fileno(), current.fileno()], [], [], pause)
        except (psycopg.Error, OSError, Unguarded) as problem:
            said = redact.text(str(problem).split("\n", maxsplit=1)[0])
            journal.say("lost", f"the fence's session was lost ({said}); taking it again", at=round(watch.at, 3))
            watch.lost = True
            with suppress(psycopg.Error):
                current.close()
            current = _again(target, holder, stop, watch)
            if current is not None:
                journal.say("held", "the fence is held again", at=round(watch.at, 3))
    return _end(current, target, holder, watch)


def _again(target: Target, holder: fence.Holder, stop: _Stop, watch: "Watch") -> Connection | None:
    """The fence taken once more by its own pod, however long the server needs; None when SIGTERM came first.

    What ran unguarded is stopped as soon as there is a session, with the fence or without.
    """
    told = ""
    connection: Connection | None
    while not stop.asked:
        connection = None
        try:
            connection = connect(target, _name(holder), patience=0)
            watch.use(sessions.baseline(connection).pid)
            watch.stop_everything(connection)
            fence.take(connection, holder, override=False, patience=0)
        except (RunnerError, psycopg.Error) as problem:
            if connection is not None:
                connection.close()
            failure = classify(problem)
            if failure.reason != told:
                journal.say("waiting", failure.message, reason=failure.reason)
                told = failure.reason
            time.sleep(RETAKE_PAUSE)
        else:
            return connection
    return None


def _end(connection: Connection | None, target: Target, holder: fence.Holder, watch: "Watch") -> int:
    """Record the end. If that fails the row stays `running`: the next attempt will ask a person."""
    marks.remove_access()
    locks = {"locks": watch.close(connection)}
    try:
        fence.release(connection or connect(target, _name(holder), patience=1), holder)
    except Exception as problem:  # noqa: BLE001  # the exit code tells
        failure = classify(problem)
        termination.write(_report(Outcome.FAILED, failure.reason, failure.message) | locks)
        journal.say(
            "unrecorded", f"the end of this attempt could not be recorded: {failure.message}", reason=failure.reason
        )
        return EXIT_FAILED
    said = "The fence was held until the end, which is recorded."
    termination.write(_report(Outcome.SUCCEEDED, Reason.SUCCEEDED, said) | locks)
    journal.say("ended", "the end is recorded and the fence released")
    return EXIT_DONE


def _give_up(problem: Exception) -> int:
    """The migration never starts in this pod. Nothing has happened, so being stopped here is a reason to try again."""
    if isinstance(problem, _Stopped):
        said = "Stopped before the fence was held; the migration has not started."
        report, code = _report(Outcome.WAITING, Reason.INTERRUPTED, said), EXIT_TRY_LATER
    else:
        failure = classify(problem)
        report, code = _report(failure.outcome, failure.reason, failure.message) | failure.facts, failure.exit_code
    with suppress(OSError):
        marks.give_up(code, report)
    termination.write(report)
    print(f"locktender agent: {report['reason']}: {report['message']}", file=sys.stderr, flush=True)
    return code


def _name(holder: fence.Holder) -> str:
    return f"locktender agent {holder.identity.run}".strip()


def _report(outcome: Outcome, reason: Reason, message: str) -> dict[str, Any]:
    return {"kind": "agent", "outcome": str(outcome), "reason": str(reason), "message": message}
