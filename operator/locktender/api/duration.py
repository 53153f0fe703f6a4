"""Durations as people write them in a spec: `90s`, `30m`, `1h30m`, `100ms`."""

import re

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|h|m|s))+")


def seconds(text: str) -> float:
    """The duration in seconds. Raises ValueError with a sentence when the text is not of the Go form (`1h30m`)."""
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 30m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def readable(value: float) -> str:
    """Seconds as a person would say them: `0.8 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    if value < 10:  # below ten seconds the tenth still matters
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
