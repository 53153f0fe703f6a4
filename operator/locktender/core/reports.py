"""The termination messages of our own runner, read back.

What pods print is untrusted input: anything that is not exactly of the expected shape is no report at all.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from locktender.core import lock_summary, messages

BACKUP_FACTS: Mapping[str, type] = {
    "id": str,
    "directory": str,
    "file": str,
    "manifest": str,
    "sizeBytes": int,
    "rawBytes": int,
    "sha256": str,
    "rawSha256": str,
    "database": str,
    "serverVersion": str,
    "clientVersion": str,
    "startedAt": str,
    "finishedAt": str,
    "verification": str,
    "tables": int,
}
_LONGEST_FACT = 253  # characters; matches maxLength of the DatabaseBackup's fields
_LARGEST = 2**53  # above it a JSON number is not exact any more
_TIME = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-][01]\d:[0-5]\d)",
    re.ASCII,
)
_HASH = re.compile(r"[0-9a-f]{64}")
_EXACTLY = {
    "startedAt": _TIME,
    "finishedAt": _TIME,
    "sha256": _HASH,
    "rawSha256": _HASH,
    "verification": re.compile("Decoded"),
}
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


@dataclass(frozen=True)
class Report:
    """One runner's last word. `outcome` is Succeeded, Failed or Waiting; `backup` holds checked facts.

    `free` is what is left of the backups' volume, in bytes; None if the runner did not say.
    """

    kind: str
    outcome: str
    reason: str
    message: str
    backup: Mapping[str, str | int] = field(default_factory=dict)
    free: int | None = None
    applied: int | None = None
    version: str = ""
    locks: lock_summary.LockSummary | None = None


def parse(text: str) -> Report | None:
    """The report in a termination message, None when there is none."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):  # RecursionError: a thousand opening brackets
        return None
    if not isinstance(raw, dict) or raw.get("outcome") not in ("Succeeded", "Failed", "Waiting"):
        return None
    reason = raw.get("reason")
    if not isinstance(reason, str) or not _REASON.fullmatch(reason):
        return None
    applied, free = raw.get("appliedCount"), raw.get("freeBytes")
    return Report(
        kind=str(raw.get("kind", ""))[:16],
        outcome=raw["outcome"],
        reason=reason,
        message=messages.untrusted(str(raw.get("message", ""))),
        backup=_facts(raw.get("backup")),
        free=free if _is_count(free) else None,
        applied=applied if _is_count(applied) else None,
        locks=lock_summary.read(raw.get("locks")),
        version=messages.untrusted(str(raw.get("version", "")))[:64],
    )


def _facts(raw: Any) -> Mapping[str, str | int]:
    """The backup's facts if every one is there and of its type, else none."""
    if not isinstance(raw, dict):
        return {}
    facts: dict[str, str | int] = {}
    for name, kind in BACKUP_FACTS.items():
        value = raw.get(name)
        if kind is int and _is_count(value):
            facts[name] = value
        elif kind is str and isinstance(value, str) and (name not in _EXACTLY or _EXACTLY[name].fullmatch(value)):
            facts[name] = messages.fit(value, _LONGEST_FACT)
        else:
            return {}
    return facts


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
