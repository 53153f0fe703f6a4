"""What a CREATE or DROP INDEX CONCURRENTLY has left behind, asked of the catalog."""

from collections.abc import Sequence

from locktender.runner.connect import Connection

_INDEX = """
    SELECT format('%%I.%%I', n.nspname, c.relname)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = %s AND i.indrelid = to_regclass(%s) AND i.indisvalid = %s
"""


def invalid(connection: Connection, words: Sequence[str]) -> list[str]:
    """Quoted names of the invalid indexes that the CREATE INDEX of these words has left; empty for other statements."""
    created = _created(words)
    return _find(connection, *created, valid=False) if created else []


def is_done(connection: Connection, words: Sequence[str]) -> bool:
    """The statement of these words has taken effect: its index is there and valid, or (DROP) gone."""
    if created := _created(words):
        return bool(_find(connection, *created, valid=True))
    if words[:1] != ("DROP",):
        return False
    row = connection.execute("SELECT to_regclass(%s) IS NULL", (_dotted(_after(words)),)).fetchone()
    return row is not None and bool(row[0])


def _find(connection: Connection, index: str, table: str, *, valid: bool) -> list[str]:
    return [str(row[0]) for row in connection.execute(_INDEX.encode(), (index, table, valid))]


def _created(words: Sequence[str]) -> tuple[str, str] | None:
    """The bare index name and the table as written, of CREATE INDEX CONCURRENTLY."""
    rest = _after(words)
    if words[:1] != ("CREATE",) or len(rest) < 3 or rest[1] != "ON":
        return None
    name = rest[0]
    bare = name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()
    return bare, _dotted(rest[3:] if rest[2] == "ONLY" else rest[2:])


def _after(words: Sequence[str]) -> Sequence[str]:
    """What follows CONCURRENTLY and IF [NOT] EXISTS."""
    rest = words[words.index("CONCURRENTLY") + 1 :]
    while rest and rest[0] in ("IF", "NOT", "EXISTS"):
        rest = rest[1:]
    return rest


def _dotted(words: Sequence[str]) -> str:
    """The name that `words` begin with: parts separated by dots."""
    parts = list(words[:1])
    for dot, part in zip(words[1::2], words[2::2], strict=False):
        if dot != ".":
            break
        parts += [dot, part]
    return "".join(parts)
