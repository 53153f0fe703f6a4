"""The last word of a pod: one JSON object of at most 4096 bytes, which the kubelet copies into the pod's status."""

import json
import os
from contextlib import suppress
from typing import Any

from locktender.runner import redact
from locktender.runner.settings import TERMINATION_LIMIT, TERMINATION_LOG, path

_ELLIPSIS = "…"


def encode(report: dict[str, Any]) -> str:
    """`report` as JSON, redacted. If it is too long the message is shortened first, then lists, then other long strings."""
    safe = redact.anything(report)
    if not isinstance(safe, dict):
        raise TypeError("a report is an object")
    for shorten in (_nothing, _message, _lists, _strings):
        shorten(safe)
        encoded = json.dumps(safe, separators=(",", ":"), ensure_ascii=False)
        if len(encoded.encode()) <= TERMINATION_LIMIT:
            return encoded
    essentials = {key: safe.get(key) for key in ("kind", "outcome", "reason")}
    return json.dumps(essentials | {"message": str(safe.get("message", ""))[:256]}, ensure_ascii=False)


def write(report: dict[str, Any]) -> None:
    """Write `report` where the kubelet looks. Outside of a pod there is no such file, and nothing is written.

    A message that cannot be written is no reason to fail: the exit code still tells.
    """
    target = path("LOCKTENDER_TERMINATION_LOG", TERMINATION_LOG)
    if target == TERMINATION_LOG and not target.exists():
        return
    with suppress(OSError), open(target, "w", encoding="utf-8", opener=_opener) as file:
        file.write(encode(report))


def _opener(name: str, flags: int) -> int:
    return os.open(name, flags, 0o644)


def _nothing(report: dict[str, Any]) -> None:
    """Try it as it is."""


def _message(report: dict[str, Any]) -> None:
    message = str(report.get("message", ""))
    rest = len(json.dumps({**report, "message": ""}, separators=(",", ":"), ensure_ascii=False).encode())
    room = max(TERMINATION_LIMIT - rest - len(_ELLIPSIS.encode()), 0)
    while message and len(json.dumps(message, ensure_ascii=False).encode()) - 2 > room:
        message = message[: len(message) * 9 // 10]
    report["message"] = message + _ELLIPSIS


def _lists(report: dict[str, Any]) -> None:
    for key, value in report.items():
        if isinstance(value, list):
            report[key] = value[:3]
    _message(report)


def _strings(report: dict[str, Any]) -> None:
    for key, value in report.items():
        if isinstance(value, str) and len(value) > 128:
            report[key] = value[:128] + _ELLIPSIS
        elif isinstance(value, dict):
            _strings(value)
