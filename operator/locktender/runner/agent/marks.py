"""The files through which the agent speaks to its pod, in a directory that only the pod's containers share.

fence-held   the fence is held; the postStart hook returns and the migration's container starts
so-far       what the summary held so far, for an agent that is restarted later
gave-up      the report of an agent that gave up; it is never taken back, so the migration cannot start later in this pod
url, pgpass  the URL without its password and the password file, for programs that take their URL as an argument;
             left only where the operator says that the pod has such a program (LOCKTENDER_LEAVE_ACCESS)
"""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from locktender.runner.settings import RUN_DIR, path

_REMEMBERED = 16384  # bytes: a summary has 4096 at most


def folder() -> Path:
    """The shared directory."""
    return path("LOCKTENDER_RUN_DIR", RUN_DIR)


def held() -> Path:
    """Exists while a migration may start or run."""
    return folder() / "fence-held"


def gave_up() -> Path:
    """Exists when no migration may ever start in this pod."""
    return folder() / "gave-up"


def give_up(code: int, report: dict[str, Any]) -> None:
    """Leave the report of the end, whole or not at all."""
    _write(gave_up(), json.dumps({"exitCode": code, "report": report}))


def earlier_end() -> tuple[int, dict[str, Any]] | None:
    """Exit code and report of an agent of this pod that gave up before, if one did."""
    with suppress(OSError, ValueError, KeyError):
        left = json.loads(gave_up().read_bytes())
        return int(left["exitCode"]), dict(left["report"])
    return (1, {}) if gave_up().exists() else None


def write_access(url: str, password: str) -> None:
    """Leave the URL and the password file for a program that needs them, readable for this user alone. The directory is memory of this pod."""
    if os.environ.get("LOCKTENDER_LEAVE_ACCESS") != "1":
        return
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    _write(folder() / "url", url)
    _write(folder() / "pgpass", f"*:*:*:*:{escaped}\n" if password else "")


def remove_access() -> None:
    """Take URL and password file away again."""
    for name in ("url", "pgpass"):
        (folder() / name).unlink(missing_ok=True)


def mark_held(facts: dict[str, Any]) -> None:
    """Let the migration's container start. `facts` are for an agent that is restarted later."""
    _write(held(), json.dumps(facts))


def held_facts() -> dict[str, Any]:
    """What was there when the fence was taken first."""
    return dict(json.loads(held().read_bytes()))


def remember(facts: dict[str, Any]) -> None:
    """Leave what the summary held so far. Raises OSError."""
    _write(folder() / "so-far", json.dumps(facts))


def remembered() -> dict[str, Any]:
    """What an earlier agent of this pod has left; empty if there is nothing, or nothing that can be read."""
    with suppress(OSError, ValueError, RecursionError), (folder() / "so-far").open("rb") as file:
        left = json.loads(file.read(_REMEMBERED))
        return left if isinstance(left, dict) else {}
    return {}


def _write(file: Path, content: str) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(content)
    draft.rename(file)
