"""What must not leave a pod: passwords, connection strings, row values. Every message and every log line passes here."""

import re
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
WITHHELD = "(withheld: it may hold row values)"
_SHORTEST_SECRET = 4  # characters: masking every "a" of a one-letter password would only make messages unreadable

_URL = re.compile(r"([a-zA-Z][\w+.-]*://)[^\s'\"<>]*@")
_PASSWORD = re.compile(
    r"((?:ssl)?password|pgpassword)(\s*[=:]\s*)('(?:[^'\\]|\\.)*'|\"[^\"]*\"|[^\s&,;\"']+)", re.IGNORECASE
)
_DETAIL = re.compile(r"^(.*?\b(?:DETAIL|CONTEXT|detail|context):\s+).*$", re.MULTILINE)
_secrets: set[str] = set()


def learn(secret: str | None) -> None:
    """From now on mask `secret`, in the forms in which a URL may carry it."""
    if secret and len(secret) >= _SHORTEST_SECRET:
        _secrets.update({secret, unquote(secret), quote(secret, safe=""), quote_plus(secret)})


def forget() -> None:
    """Mask only the patterns again; for tests, which share a process."""
    _secrets.clear()


def text(value: str) -> str:
    """`value` without the learned secrets, without user and password of URLs, and without libpq's DETAIL and CONTEXT lines."""
    for secret in sorted(_secrets, key=len, reverse=True):
        value = value.replace(secret, MASK)
    value = _URL.sub(rf"\1{MASK}@", value)
    value = _PASSWORD.sub(rf"\1\2{MASK}", value)
    return _DETAIL.sub(rf"\1{WITHHELD}", value)


def anything(value: object) -> object:
    """`value` (JSON's kinds) with every string in it redacted."""
    match value:
        case str():
            return text(value)
        case dict():
            return {key: anything(item) for key, item in value.items()}
        case list() | tuple():
            return [anything(item) for item in value]
        case _:
            return value


def primary(message: str, sqlstate: str | None) -> str:
    """A server's primary message. Those of class 22 (data exception) quote the value they choke on, so it is masked.

    The text of RAISE EXCEPTION (P0001) is kept: the author of the migration wrote it to be read.
    """
    if (sqlstate or "").startswith("22"):
        message = re.sub(r'".*"', '"…"', message, flags=re.DOTALL)
    return text(message)
