"""Numbers and names as people read them."""

import re


def bytes_for_people(count: int) -> str:
    """`0 B`, `512 B`, `1.5 MiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def mode_for_people(mode: str) -> str:
    """A lock mode as the manual writes it: `AccessExclusiveLock` is ACCESS EXCLUSIVE."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", mode.removesuffix("Lock")).upper() or "a lock"
