"""The files: pairs of `YYYYMMDDHHMMSS_name.up.sql` and `.down.sql`, read and checked before anything runs."""

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from locktender.runner.errors import MigrationError, Reason
from locktender.runner.sql.lexer import LexError, Statement, split

_NAME = re.compile(r"(?P<version>\d{14})_(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*)\.(?P<direction>up|down)\.sql")
_DIRECTIVE = re.compile(r"^\s*--\s*locktender:\s*(?P<words>.*?)\s*$", re.IGNORECASE)
_NO_TRANSACTION = "no-transaction"
_CONTROL = frozenset({"BEGIN", "COMMIT", "END", "ABORT", "ROLLBACK"})


class Direction(StrEnum):
    """Which half of a pair."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True)
class Script:
    """One file. `checksum` is SHA-256 over its text with LF line ends, so that a checkout on another system does not change it."""

    file: str
    text: str
    checksum: str
    statements: tuple[Statement, ...]
    transactional: bool

    def prefix(self, count: int) -> str:
        """SHA-256 over the first `count` statements."""
        return hashlib.sha256("\0".join(each.text for each in self.statements[:count]).encode()).hexdigest()


@dataclass(frozen=True)
class Migration:
    """A pair; `down` is None where there is none."""

    version: str
    name: str
    up: Script
    down: Script | None

    @property
    def label(self) -> str:
        """`20260102030405_name`."""
        return f"{self.version}_{self.name}"


def load(folder: Path) -> list[Migration]:
    """All pairs in order of version. Raises MigrationError for the first file that cannot be what was meant."""
    if not folder.is_dir():
        advice = "Set spec.migration.path (or --path) to the folder with the .up.sql files."
        raise MigrationError(Reason.MIGRATIONS_MISSING, f"There is no folder {folder}. {advice}")
    halves: dict[str, dict[Direction, tuple[str, Path]]] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() != ".sql" or not path.is_file():
            continue
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise _invalid(
                path.name, "its name is not like 20260102030405_add_users.up.sql (14 digits, a name, up or down)"
            )
        direction, pair = Direction(match["direction"]), halves.setdefault(match["version"], {})
        others = [other for name, other in pair.values() if name != match["name"]]
        if others or direction in pair:
            raise _invalid(
                path.name, f"it has the version of {(others or [pair[direction][1]])[0].name}; give one of them another"
            )
        pair[direction] = (match["name"], path)
    if not halves:
        raise MigrationError(
            Reason.MIGRATIONS_MISSING, f"{folder} holds no .up.sql file. Check spec.migration.path and the image."
        )
    return [_pair(version, pair) for version, pair in sorted(halves.items())]


def _pair(version: str, pair: dict[Direction, tuple[str, Path]]) -> Migration:
    if Direction.UP not in pair:
        raise _invalid(pair[Direction.DOWN][1].name, "it has no .up.sql beside it; add that, or remove this")
    down = read(pair[Direction.DOWN][1]) if Direction.DOWN in pair else None
    return Migration(version, pair[Direction.UP][0], read(pair[Direction.UP][1]), down)


def read(path: Path) -> Script:
    """One file, checked. Raises MigrationError/InvalidMigrationFile."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise _invalid(path.name, "it is not UTF-8; save it again in that encoding", line) from None
    if "\0" in text:
        raise _invalid(path.name, "it contains a NUL character", text.count("\n", 0, text.index("\0")) + 1)
    try:
        statements = tuple(split(text))
    except LexError as problem:
        raise _invalid(path.name, str(problem), problem.line) from None
    if not statements:
        raise _invalid(path.name, "it holds no statement; write one, or remove the file")
    transactional = not _opted_out(path.name, text[: statements[0].offset])
    for statement in statements:
        _check(path.name, statement, transactional=transactional)
    return Script(path.name, text, hashlib.sha256(text.encode()).hexdigest(), statements, transactional)


def _opted_out(file: str, header: str) -> bool:
    found = False
    for number, line in enumerate(header.splitlines(), 1):
        if match := _DIRECTIVE.match(line):
            if match["words"].lower() != _NO_TRANSACTION:
                raise _invalid(
                    file, f"`-- locktender: {match['words']}` is unknown; there is only `{_NO_TRANSACTION}`", number
                )
            found = True
    return found


def _check(file: str, statement: Statement, *, transactional: bool) -> None:
    words = statement.words
    first = words[0] if words else ""
    if first == "COPY" and ("STDIN" in words or "STDOUT" in words):
        raise _invalid(file, "COPY from or to the client needs psql; write INSERT statements", statement.line)
    if _controls(words):
        advice = "the runner begins and commits; remove it"
        if transactional:
            advice += f", or begin the file with `-- locktender: {_NO_TRANSACTION}` to run it statement by statement"
        raise _invalid(file, f"{first} is not allowed here: {advice}", statement.line)
    if not transactional and words[:2] in (("SET", "ROLE"), ("SET", "SESSION")) and "CHARACTERISTICS" not in words[:3]:
        raise _invalid(
            file, f"SET {words[1]} is not allowed in a no-transaction file; use the role of the URL", statement.line
        )
    if transactional and is_concurrent(words):
        said = f"{first} ... CONCURRENTLY cannot run in a transaction; begin the file with `-- locktender: {_NO_TRANSACTION}`"
        raise _invalid(file, said, statement.line)
    if words[:1] == ("CREATE",) and is_concurrent(words) and _nameless(words):
        raise _invalid(file, "give the index a name: a failed build is found again by it", statement.line)


def _controls(words: tuple[str, ...]) -> bool:
    if words[:2] in (("START", "TRANSACTION"), ("PREPARE", "TRANSACTION")):
        return True
    return words[:1] != () and words[0] in _CONTROL and not (words[0] == "ROLLBACK" and "TO" in words[1:4])


def is_concurrent(words: tuple[str, ...]) -> bool:
    """CREATE, DROP or REINDEX of an index that does not block."""
    return words[:1] in (("CREATE",), ("DROP",), ("REINDEX",)) and "CONCURRENTLY" in words[1:6]


def _nameless(words: tuple[str, ...]) -> bool:
    return words[words.index("CONCURRENTLY") + 1 :][:1] == ("ON",)


def _invalid(file: str, why: str, line: int | None = None) -> MigrationError:
    where = f"{file}, line {line}" if line else file
    facts = {"file": file} | ({"line": line} if line else {})
    return MigrationError(Reason.INVALID_MIGRATION_FILE, f"{where}: {why}.", **facts)
