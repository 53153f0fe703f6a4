"""Every number and name of the Job side, with its unit and reason, and the environment it is told by."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

KIB, MIB = 1024, 1024 * 1024

# Exit codes
EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_TRY_LATER = 75  # EX_TEMPFAIL of sysexits.h: may come right by waiting

# Termination message
TERMINATION_LIMIT = 4096  # bytes: the kubelet cuts what is longer, which would break the JSON
TERMINATION_LOG = Path("/dev/termination-log")  # the kubelet's default terminationMessagePath
APPLIED_LISTED = 20  # names of applied files in the message; more would crowd out the sentence

# Connections
CONNECT_TIMEOUT = 5  # seconds for one try: above any healthy handshake, below a person's patience
CONNECT_PATIENCE = 5.0  # seconds of tries: longer waits belong to the operator, which makes a new attempt
CONNECT_PAUSE = 0.25  # seconds between two tries
KEEPALIVES = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
TCP_USER_TIMEOUT = 10_000  # milliseconds: a dead peer is noticed about as soon as by the keepalives above
CANCEL_TIMEOUT = 2.0  # seconds for asking the server to stop a statement; the pod's grace period is running
SUPPORTED_MAJORS = (14, 15, 16, 17, 18)  # the majors whose client programs are in the image

# Advisory locks: (class, object). The class is the ASCII of "LOCK"; advisory locks are per database already.
LOCK_CLASS = 0x4C4F434B
LOCK_FENCE, LOCK_SQL, LOCK_BACKUP, LOCK_SCHEMA = 1, 2, 3, 4

# Backup
POSTGRES_ROOT = Path("/opt/postgresql")
BACKUP_DIR = Path("/backups")
CHUNK = MIB  # bytes read at a time: large enough that Python's own cost does not show
ZSTD_LEVEL = 3  # research/backup.md section 2: gzip's size at a third of its time
ZSTD_THREADS = 2
DUMP_LOCK_WAIT = 60_000  # milliseconds pg_dump waits for a table that DDL holds
PROGRESS_INTERVAL = 1.0  # seconds between two progress lines
STDERR_LINES = 40  # last lines kept of a client program's errors
LEFTOVER_AGE = 24 * 3600  # seconds after which a folder without manifest is an abandoned attempt
SMALLEST_RATIO = 200  # database size / dump size beyond what was ever seen (109 for pgbench tables)
KILL_PATIENCE = 5.0  # seconds a client program may take to end after it was killed
NAMED_TABLES = 5  # tables named in a message; more would crowd out the advice

# SQL engine
MIGRATIONS_DIR = Path("db/migrations")
LOCK_TIMEOUT = 0.1  # seconds; readers queue behind us for that long at most (research/engines.md section 4)
LOCK_MAX_WAIT = 60.0  # seconds of tries until a file gives up
STATEMENT_TIMEOUT = 30.0  # seconds
LOCK_GROWTH = 1.2  # each try may wait this much longer than the one before ...
LOCK_GROWTH_LIMIT = 5.0  # ... up to this multiple of the first
RETRY_PAUSE = 0.5  # seconds before the second try; grows with LOCK_GROWTH to RETRY_PAUSE_LIMIT, times 0.5 to 1.0
RETRY_PAUSE_LIMIT = 3.0
CANCELS_RETRIED = (
    2  # times a statement may be cancelled while it works: others waited for it, and would again each time
)
SHORTEST_LOCK_TIMEOUT = 0.01  # seconds: the last try before maxWait is cut short but never without a timeout
SAMPLE_FIRST, SAMPLE_GROWTH, SAMPLE_LIMIT = 0.03, 1.5, 1.0  # seconds between looks at who blocks a running statement
LOCK_POLL = 0.2  # seconds between two tries for the engine's own advisory lock
BLOCKERS_NAMED = 3

# Agent
RUN_DIR = Path("/run/locktender")
FENCE_PATIENCE = 5.0  # seconds until a database held by another is given up
FENCE_PAUSE = 0.2  # seconds between two tries
FENCE_WAIT = 60.0  # seconds agent-wait waits
FENCE_POLL = 0.02  # seconds between two looks of agent-wait: it adds to every migration's start
END_LOCK_TIMEOUT = 5000  # milliseconds for recording the end: a person may look at the row just then
RETAKE_PAUSE = 0.2  # seconds between two tries to take a lost fence again

# Lock budget, in seconds
LOCK_BUDGET = 2.0  # longest wait of another session because of the migration; people notice from about there on
MIGRATION_TIMEOUT = 1800.0  # the whole migration
LOOK = 0.1  # between two looks at the locks: a wait's end is known as exactly as this; when its budget is spent is known to the millisecond
LOOK_COST = 0.0003  # for each lock on the server, whom a look costs 1 to 2 us a lock: so it stays below 1 %
LOOK_SHARE = 0.4  # of the budget: the longest pause, so that a wait is seen well before its budget is spent
LOOK_PATIENCE = 3.0  # looks may fail for this long until the migration counts as unguarded
RECOVERY_MARGIN = 0.05  # by which a statement must have begun later than the cancelled one: ages are read a moment after they are taken
KEEP_EVERY = 1.0  # between two writes of what a restarted agent should know
SESSIONS_EVERY = 1.0  # between two lists of the sessions, if nothing unknown shows up before
BUDGET_LEAD = 0.1  # how much before the budget a cancel begins: so a terminate that must follow comes when it is spent
CANCEL_GRACE = 0.1  # after which a session that still blocks others is terminated
OWN_GRACE = 1.0  # the same for a session that only hurts itself
LOCK_TIMEOUT_LIKELY = 0.1  # a session that waited this long for a lock and then went has rather given up than got it
LOST_PAUSE = 0.2  # between two rounds of terminating a migration that ran unguarded
SAMPLE_BUSY, SAMPLE_QUIET = 1.0, 10.0  # between two sample lines with and without sessions of the migration
DATABASE_SIZE_EVERY = 10.0  # the server looks at each file of the database for it
AGENT_LOCK_TIMEOUT, AGENT_STATEMENT_TIMEOUT = 500, 2000  # milliseconds: a look that hangs sees nothing
LINES_LIMIT = 500  # lines of each kind of wait; what is beyond is counted
QUERY_LIMIT = 200  # characters of a statement in a line
QUERY_READ = 2048  # characters of a statement that are read from the server

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")


def seconds(text: str) -> float:
    """A duration such as `100ms`, `30s` or `1h30m` in seconds. Raises ValueError with a sentence for anything else."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write it like 100ms, 30s or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text))


def duration(name: str, default: float) -> float:
    """The duration in the environment variable `name`, in seconds. Raises ValueError with a sentence that names it."""
    text = os.environ.get(name, "")
    try:
        return seconds(text) if text else default
    except ValueError as problem:
        raise ValueError(f"{name}: {problem}") from None


@dataclass(frozen=True)
class Identity:
    """Whose work this is, as the operator told the pod; empty strings outside of a cluster."""

    namespace: str = field(default_factory=lambda: os.environ.get("LOCKTENDER_NAMESPACE", ""))
    migration: str = field(default_factory=lambda: os.environ.get("LOCKTENDER_MIGRATION", ""))
    migration_uid: str = field(default_factory=lambda: os.environ.get("LOCKTENDER_MIGRATION_UID", ""))
    run: str = field(default_factory=lambda: os.environ.get("LOCKTENDER_RUN", ""))
    step: str = field(default_factory=lambda: os.environ.get("LOCKTENDER_STEP", ""))
    attempt: int = field(default_factory=lambda: int(os.environ.get("LOCKTENDER_ATTEMPT") or "1"))
    pod_uid: str = field(default_factory=lambda: os.environ.get("LOCKTENDER_POD_UID", ""))
    release: str = field(default_factory=lambda: os.environ.get("LOCKTENDER_RELEASE", ""))


def path(name: str, default: Path) -> Path:
    """The path in the environment variable `name`."""
    return Path(os.environ.get(name) or default)
