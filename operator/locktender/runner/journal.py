"""Lines on stdout, each one redacted JSON object: `{"time", "kind", ...}`. Written at once, so that a killed pod has told all it did."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from locktender.runner import redact


def now() -> str:
    """The time as RFC 3339 in UTC, with seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _precise() -> str:
    """The time as RFC 3339 in UTC, with milliseconds: lines are put in order by it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(kind: str, message: str = "", **facts: Any) -> None:
    """One line. `kind` is what happened in one word; `message` is for people, `facts` for programs."""
    line = {"time": _precise(), "kind": kind} | ({"message": message} if message else {}) | facts
    sys.stdout.write(json.dumps(redact.anything(line), ensure_ascii=False) + "\n")
    sys.stdout.flush()
