"""Where one SQL statement ends and the next begins, by psql's rules: quotes, dollar quotes, nested comments, BEGIN ATOMIC bodies.

    text --split()--> Statement(text, line, words), ...

It knows no grammar: words are only looked at to tell what kind of statement it is.
"""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line_comment>--[^\n]*)
    | (?P<block_comment>/\*)
    | (?P<escape_string>[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?P<escape_end>'|\Z|\\\Z))
    | (?P<string>(?:[uU]&)?'[^']*(?:''[^']*)*(?P<string_end>'|\Z))
    | (?P<quoted>(?:[uU]&)?"[^"]*(?:""[^"]*)*(?P<quoted_end>"|\Z))
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<parameter>\$\d+)
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<number>\d[\w.]*)
    | (?P<end>;)
    | (?P<meta>\\)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_WORDS_KEPT = 64  # words, dots and names kept of a statement: what we look for stands in front


class LexError(ValueError):
    """The text cannot be split; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon. `line` (from 1) and `offset` (characters) are those of its first word in the file.

    `words` are its first words: keywords and plain names in upper case, quoted names with their quotes, dots, and opening parentheses.
    """

    text: str
    line: int
    offset: int
    words: tuple[str, ...]


def split(text: str) -> list[Statement]:
    """The statements of `text`. Raises LexError for an open quote or comment, and for a psql meta command."""
    found: list[Statement] = []
    scan = _Scan()
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # noqa: S101  # the last alternative takes any character
        kind, end = match.lastgroup or "other", match.end()
        if kind == "block_comment":
            end = _comment_end(text, position)
        elif kind == "dollar":
            end = _dollar_end(text, position, match.group())
        elif kind == "meta":
            raise LexError("a psql command (\\...) works only in psql", _line(text, position))
        elif kind in ("escape_string", "string", "quoted") and not _closed(match, kind):
            raise LexError("a quote is opened here and never closed", _line(text, position))
        if kind == "end" and scan.at_top():
            scan.finish(text, position, found)
        elif kind not in ("space", "line_comment", "block_comment"):
            scan.take(kind, match.group(), position)
        position = end
    scan.finish(text, len(text), found)
    return found


class _Scan:
    """The statement being read."""

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self.start: int | None = None
        self.words: list[str] = []
        self.parentheses = self.bodies = 0

    def at_top(self) -> bool:
        """A semicolon here ends the statement."""
        return self.parentheses == 0 and self.bodies == 0

    def take(self, kind: str, token: str, position: int) -> None:
        if self.start is None:
            self.start = position
        if kind == "word" and self.parentheses == 0:
            self._body(token.upper())
        if token == "(":  # noqa: S105  # a parenthesis
            self.parentheses += 1
        elif token == ")":  # noqa: S105  # a parenthesis
            self.parentheses = max(self.parentheses - 1, 0)
        if len(self.words) < _WORDS_KEPT and (kind in ("word", "quoted") or token in (".", "(")):
            self.words.append(token.upper() if kind == "word" and token.isascii() else token)

    def _body(self, word: str) -> None:
        """BEGIN ... END of a routine in SQL-standard form; CASE ... END inside. Everywhere else these words mean nothing here."""
        head = [each for each in self.words[:4] if each not in ("OR", "REPLACE")]
        if head[:2] not in (["CREATE", "FUNCTION"], ["CREATE", "PROCEDURE"]):
            return
        if word == "BEGIN" or (word == "CASE" and self.bodies):
            self.bodies += 1
        elif word == "END" and self.bodies:
            self.bodies -= 1

    def finish(self, text: str, end: int, found: list[Statement]) -> None:
        if self.start is not None:
            body = text[self.start : end].rstrip()
            found.append(Statement(body, _line(text, self.start), self.start, tuple(self.words)))
        self._clear()


def _closed(match: re.Match[str], kind: str) -> bool:
    return len(
        match.group({"escape_string": "escape_end", "string": "string_end", "quoted": "quoted_end"}[kind])
    ) == 1 and (match.group()[-1] in "'\"")


def _comment_end(text: str, start: int) -> int:
    depth = 0
    for match in re.compile(r"/\*|\*/").finditer(text, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    raise LexError("a comment is opened here and never closed", _line(text, start))


def _dollar_end(text: str, start: int, tag: str) -> int:
    end = text.find(tag, start + len(tag))
    if end < 0:
        raise LexError(f"a {tag} quote is opened here and never closed", _line(text, start))
    return end + len(tag)


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
