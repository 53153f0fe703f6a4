"""What can go wrong in a Job, and what each of it means for the one who waits.

    RunnerError             reason, message, facts; its outcome and exit code follow from the reason
    ├─ ConnectionRefused    no session: unreachable, starting up, full, missing database, wrong password, pooler
    ├─ StoreError           the backup's directory: full, not writable
    ├─ DumpError            pg_dump or the verification failed
    ├─ MigrationError       a file: malformed, changed, out of order, failed; knows file, line, SQLSTATE
    ├─ FenceError           another migration holds the database, or the end of an earlier attempt is unknown
    └─ Interrupted          SIGTERM

`classify` is the only place where an error of psycopg or of the operating system becomes one of these.
"""

import errno
import re
from enum import StrEnum
from typing import Any

from locktender.runner import redact
from locktender.runner.settings import EXIT_DONE, EXIT_FAILED, EXIT_TRY_LATER


class Outcome(StrEnum):
    """What the operator makes of it: done, failed for good, or another attempt later."""

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    WAITING = "Waiting"


class Reason(StrEnum):
    """The closed set of reasons in termination messages."""

    SUCCEEDED = "Succeeded"
    NOTHING_TO_DO = "NothingToDo"
    DATABASE_UNREACHABLE = "DatabaseUnreachable"
    DATABASE_STARTING_UP = "DatabaseStartingUp"
    TOO_MANY_CONNECTIONS = "TooManyConnections"
    DATABASE_BUSY = "DatabaseBusy"
    DATABASE_MISSING = "DatabaseMissing"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    SCHEMA_PERMISSION = "SchemaPermission"
    PERMISSION_DENIED = "PermissionDenied"
    POOLER_REFUSED = "PoolerRefused"
    UNSUPPORTED_SERVER = "UnsupportedServer"
    INVALID_URL = "InvalidUrl"
    PREVIOUS_ATTEMPT_UNKNOWN = "PreviousAttemptUnknown"
    STORAGE_FULL = "StorageFull"
    STORAGE_UNWRITABLE = "StorageUnwritable"
    DUMP_FAILED = "DumpFailed"
    VERIFICATION_FAILED = "VerificationFailed"
    MIGRATIONS_MISSING = "MigrationsMissing"
    INVALID_MIGRATION_FILE = "InvalidMigrationFile"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    OUT_OF_ORDER = "OutOfOrder"
    STATEMENT_FAILED = "StatementFailed"
    LOCK_TIMEOUT = "LockTimeout"
    LOCK_BUDGET_EXCEEDED = "LockBudgetExceeded"
    STATEMENT_TIMEOUT = "StatementTimeout"
    CONNECTION_LOST = "ConnectionLost"
    INTERRUPTED = "Interrupted"
    INTERNAL_ERROR = "InternalError"


WAITING = frozenset(
    {
        Reason.DATABASE_UNREACHABLE,
        Reason.DATABASE_STARTING_UP,
        Reason.TOO_MANY_CONNECTIONS,
        Reason.DATABASE_BUSY,
        Reason.DATABASE_MISSING,
    }
)
_EXIT = {Outcome.SUCCEEDED: EXIT_DONE, Outcome.FAILED: EXIT_FAILED, Outcome.WAITING: EXIT_TRY_LATER}


class RunnerError(Exception):
    """A failure with a reason of the closed set; `facts` are further fields of the termination message."""

    def __init__(self, reason: Reason, message: str, **facts: Any) -> None:
        super().__init__(redact.text(message))
        self.reason = reason
        self.facts = facts

    @property
    def message(self) -> str:
        """One or two sentences: the fact, then what to do."""
        return str(self)

    @property
    def outcome(self) -> Outcome:
        """Waiting if time may heal it, else Failed."""
        return Outcome.WAITING if self.reason in WAITING else Outcome.FAILED

    @property
    def exit_code(self) -> int:
        """75 if time may heal it, else 1."""
        return _EXIT[self.outcome]


class ConnectionRefused(RunnerError):
    """No usable session with the server."""


class StoreError(RunnerError):
    """The directory of the backups cannot be used."""


class DumpError(RunnerError):
    """The dump, or the proof that it can be read, failed."""


class MigrationError(RunnerError):
    """A migration file; facts are `file`, `line` (from 1) and `sqlstate` where known."""


class FenceError(RunnerError):
    """The fence cannot be taken."""


class Interrupted(RunnerError):
    """SIGTERM or SIGINT arrived."""

    def __init__(self, message: str = "Stopped by a signal before the work was complete; start it again.") -> None:
        super().__init__(Reason.INTERRUPTED, message)


# A refused session has no SQLSTATE in libpq, only text: (pattern, reason, advice). First match wins.
_REFUSALS: tuple[tuple[str, Reason, str], ...] = (
    (
        r"starting up|shutting down|recovery mode|not yet accepting|57P03",
        Reason.DATABASE_STARTING_UP,
        "It is tried again.",
    ),
    (
        r"too many clients|remaining connection slots|too many connections|no more connections",
        Reason.TOO_MANY_CONNECTIONS,
        "Raise max_connections (or the role's limit), or close idle sessions.",
    ),
    (r'database "[^"]*" does not exist', Reason.DATABASE_MISSING, "Create it, or correct the name in the URL."),
    (r"permission denied for database", Reason.PERMISSION_DENIED, "GRANT CONNECT ON DATABASE ... to the role."),
    (
        r"(?i)authentication failed|no password supplied|pg_hba\.conf|role .* does not exist|not permitted to log in|certificate",
        Reason.AUTHENTICATION_FAILED,
        "Check user and password in the Secret, and the server's pg_hba.conf.",
    ),
    (
        r"does not support SSL|invalid (?:sslmode|channel_binding|target_session_attrs)|invalid port|root certificate",
        Reason.INVALID_URL,
        "Correct the parameters of the URL.",
    ),
)


def essence(text: str) -> str:
    """`text` without the lines that may hold row values or only add to others."""
    return "\n".join(line for line in text.splitlines() if not _ADDITION.search(line))


def refusal(text: str) -> ConnectionRefused:
    """A failed connection, from libpq's or a client program's words."""
    fact = redact.text(" ".join(essence(text).split()))
    for pattern, reason, advice in _REFUSALS:
        if re.search(pattern, text):
            return ConnectionRefused(reason, f"{fact}. {advice}")
    advice = "Check host, port and network policies; the server may be restarting."
    return ConnectionRefused(Reason.DATABASE_UNREACHABLE, f"{fact}. {advice}")


_ADDITION = re.compile(r"\b(?:DETAIL|CONTEXT|QUERY|STATEMENT|Query was):?\s|: detail: ")
_STORE = {
    errno.ENOSPC: (Reason.STORAGE_FULL, "Enlarge the volume or remove old backups."),
    errno.EDQUOT: (Reason.STORAGE_FULL, "Raise the quota or remove old backups."),
    errno.EFBIG: (Reason.STORAGE_FULL, "The file size limit of the volume is too small for this dump."),
}


def classify(error: BaseException) -> RunnerError:
    """Any error as a RunnerError. Messages keep what helps and drop what may hold secrets or row values."""
    if isinstance(error, RunnerError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted()
    if isinstance(error, OSError):
        advice = "Check that the volume is mounted read-write and that fsGroup lets user 65532 write."
        reason, advice = _STORE.get(error.errno or 0, (Reason.STORAGE_UNWRITABLE, advice))
        return StoreError(reason, f"{error.strerror or error} ({error.filename or 'backup store'}). {advice}")
    if isinstance(error, ValueError):
        return RunnerError(Reason.INTERNAL_ERROR, f"{error}.")
    from psycopg import Error

    if isinstance(error, Error):
        return _server_error(error)
    return RunnerError(Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}. This is a bug; please report it.")


def _server_error(error: Any) -> RunnerError:
    """An error that a session reported."""
    state: str = error.sqlstate or ""
    said = redact.primary(error.diag.message_primary or str(error).split("\n", maxsplit=1)[0], state)
    if state == "42501":
        return RunnerError(Reason.PERMISSION_DENIED, f"{said}. Grant the role what it lacks.", sqlstate=state)
    if state == "25006":
        advice = "The server is a standby or read-only; point the URL at the primary."
        return RunnerError(Reason.PERMISSION_DENIED, f"{said}. {advice}", sqlstate=state)
    if state == "55P03":
        return RunnerError(
            Reason.LOCK_TIMEOUT, f"{said}. Find the session that holds the lock and try again.", sqlstate=state
        )
    if state == "57014":
        return RunnerError(Reason.STATEMENT_TIMEOUT, f"{said}.", sqlstate=state)
    if is_lost(error):
        return RunnerError(Reason.CONNECTION_LOST, f"{said}. The server closed the session; look into its log.")
    return RunnerError(Reason.STATEMENT_FAILED, f"{said} (SQLSTATE {state or 'unknown'}).", sqlstate=state)


def is_lost(error: Any) -> bool:
    """The session ended: class 57P (shutdown, terminated), class 08, or libpq saw the socket close."""
    state = getattr(error, "sqlstate", None)
    from psycopg import OperationalError

    return isinstance(error, OperationalError) and (
        state is None or state[:2] == "08" or state in ("57P01", "57P02", "57P03", "57P05")
    )
