"""The termination messages of our own runner, read back.

What pods print is untrusted input: anything that is not exactly of the expected shape is no report at all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from locktender.core import messages

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
_LONGEST_FACT = 512  # characters; matches maxLength of the DatabaseBackup's fields


@dataclass(frozen=True)
class Report:
    """One runner's last word. `outcome` is Succeeded, Failed or Waiting; `backup` holds checked facts."""

    kind: str
    outcome: str
    reason: str
    message: str
    backup: Mapping[str, str | int] = field(default_factory=dict)
    applied: int | None = None
    version: str = ""


def parse(text: str) -> Report | None:
    """The report in a termination message, None when there is none."""
    try:
        raw = json.loads(text)
    except ValueError:
        return None
    if not isinstance(raw, dict) or raw.get("outcome") not in ("Succeeded", "Failed", "Waiting"):
        return None
    reason = raw.get("reason")
    if not isinstance(reason, str) or not reason.isalnum() or len(reason) > 64:
        return None
    applied = raw.get("appliedCount")
    return Report(
        kind=str(raw.get("kind", ""))[:16],
        outcome=raw["outcome"],
        reason=reason,
        message=messages.untrusted(str(raw.get("message", ""))),
        backup=_facts(raw.get("backup")),
        applied=applied if isinstance(applied, int) else None,
        version=messages.untrusted(str(raw.get("version", "")))[:64],
    )


def _facts(raw: Any) -> Mapping[str, str | int]:
    """The backup's facts if every one is there and of its type, else none."""
    if not isinstance(raw, dict):
        return {}
    facts: dict[str, str | int] = {}
    for name, kind in BACKUP_FACTS.items():
        value = raw.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            return {}
        facts[name] = value if isinstance(value, int) else str(value)[:_LONGEST_FACT]
    return facts
