"""A statement as it may be shown: without literals, without comments, short. Also when the server has cut it off somewhere.

Whatever cannot be told apart for certain is left out, together with all that follows.
"""

import re

from locktender.runner.settings import QUERY_LIMIT

_PIECE = re.compile(
    r"""
      (?P<space>\s+ | --[^\n]*)
    | (?P<comment>/\*)
    | (?P<escape>[eE]'(?:[^'\\]|\\.|'')*(?:'|\Z|\\\Z))
    | (?P<string>'(?:[^']|'')*(?:'|\Z))
    | (?P<name>"(?:[^"]|"")*")
    | (?P<open>")
    | (?P<dollar>\$(?:[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_\x80-\U0010ffff]*)?\$)
    | (?P<parameter>\$\d+)
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
    | (?P<number>\d[\w.]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_LIST = re.compile(r"\?(?:\s*,\s*\?)+")
_HIDDEN = "<insufficient privilege>"


def fingerprint(query: str | None, limit: int = QUERY_LIMIT) -> str:
    """`query` for people, at most `limit` characters."""
    if not query or query == _HIDDEN:
        return ""
    shown = _LIST.sub("?", " ".join("".join(_pieces(query)).split()))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def statements(query: str) -> int:
    """How many statements a text holds, as far as it can be seen: at least 1."""
    return max(len([each for each in "".join(_pieces(query)).split(";") if each.strip()]), 1)


def concurrently(query: str | None) -> bool:
    """CREATE, DROP or REINDEX of an index that waits for old snapshots and blocks nobody meanwhile."""
    words = fingerprint(query).upper().split()
    return words[:1] in (["CREATE"], ["DROP"], ["REINDEX"]) and "CONCURRENTLY" in words[1:6]


def _pieces(query: str) -> list[str]:
    """The text in pieces, literals as ?."""
    found: list[str] = []
    position = 0
    setting = masking = False  # SET name = value: a value may be a bare word
    while position < len(query):
        match = _PIECE.match(query, position)
        if match is None or match.lastgroup == "open":
            break
        kind, piece, position = match.lastgroup, match.group(), match.end()
        if kind == "comment":
            position = _comment_end(query, match.start())
            kind, piece = "space", " "
        elif kind == "dollar":
            end = query.find(piece, position)
            position = len(query) if end < 0 else end + len(piece)
        if piece == ";":
            setting = masking = False
        if masking:
            continue
        shown = "?" if kind in ("dollar", "string", "escape", "number") else " " if kind == "space" else piece
        found.append(shown)
        if kind == "string" and "\\'" in piece:
            # With standard_conforming_strings off, \' does not end it; which it is cannot be seen from here.
            break
        setting = setting or (kind == "word" and piece.upper() == "SET" and _begins(found))
        if setting and (piece == "=" or piece.upper() == "TO"):
            found.append(" ?")
            masking = True
    return found


def _begins(found: list[str]) -> bool:
    """The piece just found is the first of its statement."""
    before = "".join(found[:-1]).rstrip()
    return not before or before.endswith(";")


def _comment_end(query: str, start: int) -> int:
    depth = 0
    for match in _COMMENT.finditer(query, start):
        depth += 1 if match.group() == "/*" else -1
        if depth == 0:
            return match.end()
    return len(query)
