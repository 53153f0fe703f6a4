"""A refused statement as a message that says where it stands, what the server said, and what to do next."""

from locktender.runner import redact
from locktender.runner.errors import MigrationError, Reason, is_lost
from locktender.runner.sql.files import Script
from locktender.runner.sql.session import Failure

LOCK_STATES = ("55P03", "40P01")  # lock_not_available, deadlock_detected
_CANCELED = "57014"

# Next steps by SQLSTATE, or by its class where the whole class has one.
_ADVICE = {
    "42501": "Grant the role what it lacks, or let the owner's role migrate.",
    "42P07": "The object exists already; was the change made by hand? Drop it, or write IF NOT EXISTS.",
    "42710": "The object exists already; was the change made by hand? Drop it, or write IF NOT EXISTS.",
    "42701": "The column exists already; was the change made by hand? Drop it, or write IF NOT EXISTS.",
    "42P01": "A file before this one should make it; check the order of versions and the search_path.",
    "42601": "Correct the syntax there.",
    "25001": "Begin the file with `-- locktender: no-transaction`, which runs it statement by statement.",
    "23": "Data that is there contradicts the change; clean it up in a file before this one.",
    "22": "Data that is there cannot be converted; clean it up in a file before this one.",
    "53": "The server lacks a resource; its log says more.",
}


def is_lock_failure(failure: Failure, *, waited: bool) -> bool:
    """Another try may succeed: a lock was not free, or the statement was cancelled while it waited for one."""
    state = failure.error.sqlstate
    return state in LOCK_STATES or (state == _CANCELED and waited)


def is_cancelled(failure: Failure, ran: float, statement_timeout: float) -> bool:
    """Somebody stopped it, as the agent does when others wait: it ended before its own time-out (both in seconds), or the server says so."""
    if failure.error.sqlstate != _CANCELED:
        return False
    return ran < statement_timeout or "user request" in (failure.error.diag.message_primary or "")


def line_of(script: Script, failure: Failure, offset: int = 0, first: int = 0) -> int | None:
    """The line in the file, from 1. `offset` and `first` say where the text that was sent begins: its character, its statement."""
    if failure.position is not None:
        return script.text.count("\n", 0, offset + failure.position - 1) + 1
    if is_lost(failure.error):
        return None
    index = first + failure.index
    return script.statements[index].line if index < len(script.statements) else None


def refused(script: Script, failure: Failure, line: int | None, *, kept: str) -> MigrationError:
    """The error for a statement that failed for good. `kept` says what remains of the file's work."""
    state = failure.error.sqlstate or ""
    message = failure.error.diag.message_primary or str(failure.error).split("\n", maxsplit=1)[0]
    said = redact.primary(message, state)
    if is_lost(failure.error):
        advice = "Look at the server's log, then run `sql status` to see what is applied."
        return _error(
            Reason.CONNECTION_LOST, script, line, state, f"the server ended the session: {said}. {kept} {advice}"
        )
    if state == _CANCELED:
        advice = "Make it faster, move it to a file of its own, or raise locks.statementTimeout."
        return _error(Reason.STATEMENT_TIMEOUT, script, line, state, f"{said}. {kept} {advice}")
    advice = _ADVICE.get(state) or _ADVICE.get(state[:2]) or "Correct the file and run it again."
    return _error(Reason.STATEMENT_FAILED, script, line, state, f"{said} (SQLSTATE {state}). {kept} {advice}")


def blocked(
    script: Script, line: int | None, state: str | None, tries: int, seconds: float, names: str
) -> MigrationError:
    """The error for a lock that was never free; `tries` of them within `seconds`."""
    fact = f"no lock within {seconds:g} s and {tries} tries; last blocked by {names}"
    advice = "Nothing of the statement was kept. End that session or wait for it, then run this again."
    return _error(Reason.LOCK_TIMEOUT, script, line, state or "55P03", f"{fact}. {advice}")


def cancelled(script: Script, line: int | None, times: int) -> MigrationError:
    """The error for a statement that was cancelled each time while it worked."""
    fact = f"cancelled {times} times while it worked, as is done when others have waited for its locks as long as locks.budget allows"
    advice = "Nothing of the statement was kept. Let it hold its locks for less time (one change a file, indexes CONCURRENTLY, constraints NOT VALID first), or raise locks.budget."
    return _error(Reason.LOCK_BUDGET_EXCEEDED, script, line, _CANCELED, f"{fact}. {advice}")


def _error(reason: Reason, script: Script, line: int | None, state: str, said: str) -> MigrationError:
    where = f"{script.file}, line {line}" if line else script.file
    facts: dict[str, object] = {"file": script.file}
    if line:
        facts["line"] = line
    if state:
        facts["sqlstate"] = state
    return MigrationError(reason, f"{where}: {said}", **facts)
