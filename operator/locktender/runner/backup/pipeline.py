"""The stream: pg_dump's output goes through memory once, to everyone who needs it.

pg_dump --1 MiB--> SHA-256 (raw)
              |--> pg_restore --file=/dev/null      decodes every byte
              '--> [zstd with checksum] --> SHA-256 (stored)
                                       '--> data.dump[.zst].partial --fsync
"""

import hashlib
import os
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from locktender.runner import journal
from locktender.runner.backup.children import Child, running
from locktender.runner.backup.clients import Clients
from locktender.runner.errors import DumpError, Reason, RunnerError, essence, refusal
from locktender.runner.settings import CHUNK, PROGRESS_INTERVAL, ZSTD_LEVEL, ZSTD_THREADS


@dataclass(frozen=True)
class Streamed:
    """What went through. Sizes in bytes, digests in hex."""

    size: int
    sha256: str
    raw_size: int
    raw_sha256: str


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Verbatim:
    """No compression of ours: pg_dump has done it."""

    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def stream(clients: Clients, command: list[str], environment: Mapping[str, str], partial: Path) -> Streamed:
    """Run the whole stream into `partial`, synced. Raises unless both programs ended with 0; OSError when the store fails."""
    quiet = {key: value for key, value in environment.items() if not key.startswith("PG")}
    with (
        partial.open("xb", buffering=0) as file,
        running("pg_dump", command, environment, feeds=False, reads=True) as dump,
        running("pg_restore", clients.decode(), quiet, feeds=True, reads=False) as verifier,
    ):
        tee = _Tee(file, verifier, _compressor(clients))
        for chunk in _chunks(dump.stdout, tee):
            tee.write(chunk)
        _require_dumped(dump)
        streamed = tee.finish()
        os.fsync(file.fileno())
    if streamed.raw_size == 0:
        raise DumpError(Reason.DUMP_FAILED, "pg_dump wrote nothing, though it ended well. Try again.")
    return streamed


def _compressor(clients: Clients) -> _Compressor:
    if not clients.outer_zstd:
        return _Verbatim()
    import zstandard

    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True, threads=ZSTD_THREADS).compressobj()


class _Tee:
    """One chunk to all takers."""

    def __init__(self, file: IO[bytes], verifier: Child, compressor: _Compressor) -> None:
        self._file, self._verifier, self._compressor = file, verifier, compressor
        self._raw, self._stored = hashlib.sha256(), hashlib.sha256()
        self.raw_size = self.size = 0
        self._decoding = True

    def write(self, chunk: bytes) -> None:
        self.raw_size += len(chunk)
        self._raw.update(chunk)
        self._decode(chunk)
        self._store(self._compressor.compress(chunk))

    def finish(self) -> Streamed:
        self._store(self._compressor.flush())
        self._verifier.stdin.close()
        _require_decoded(self._verifier)
        return Streamed(self.size, self._stored.hexdigest(), self.raw_size, self._raw.hexdigest())

    def _decode(self, chunk: bytes) -> None:
        if not self._decoding:
            return
        try:
            _write_all(self._verifier.stdin, chunk)
        except BrokenPipeError:
            # An archive may end in bytes that pg_restore does not need; anything else shows in its exit code.
            self._decoding = False
            _require_decoded(self._verifier)

    def _store(self, data: bytes) -> None:
        self._stored.update(data)
        self.size += len(data)
        _write_all(self._file, data)


def _write_all(target: IO[bytes], data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[target.write(rest) :]


def _chunks(output: IO[bytes], tee: _Tee) -> "_Chunks":
    return _Chunks(output, tee)


class _Chunks:
    """What pg_dump writes, as it comes, with a progress line each second, also while it waits for a lock."""

    def __init__(self, output: IO[bytes], tee: _Tee) -> None:
        self._descriptor, self._tee = output.fileno(), tee
        self._begun = self._told = time.monotonic()

    def __iter__(self) -> "_Chunks":
        return self

    def __next__(self) -> bytes:
        while True:
            ready, _, _ = select.select([self._descriptor], [], [], PROGRESS_INTERVAL)
            self._tell()
            if not ready:
                continue
            if chunk := os.read(self._descriptor, CHUNK):
                return chunk
            raise StopIteration

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told < PROGRESS_INTERVAL:
            return
        self._told = now
        passed = now - self._begun
        rate = round(self._tee.raw_size / passed / (1 << 20), 1)
        journal.say(
            "progress",
            bytes=self._tee.raw_size,
            storedBytes=self._tee.size,
            seconds=round(passed, 1),
            mibPerSecond=rate,
        )


def _require_dumped(dump: Child) -> None:
    """Raises DumpError, or what the server's words mean, unless pg_dump ended with 0."""
    if dump.wait() == 0:
        return
    said = " ".join(line.removeprefix("pg_dump: ") for line in essence(dump.errors()).splitlines())
    if "connection to server" in said and "failed:" in said:
        raise refusal(said)
    if "lock timeout" in said:
        advice = "Another session holds a table in a mode that keeps pg_dump from reading it; this is tried again."
        raise RunnerError(Reason.DATABASE_BUSY, f"{said}. {advice}")
    if "permission denied" in said or "row-level security" in said:
        raise RunnerError(Reason.PERMISSION_DENIED, f"{said}. Grant the role what it lacks.")
    if any(
        sign in said for sign in ("terminating connection", "closed the connection", "connection to server was lost")
    ):
        raise RunnerError(
            Reason.CONNECTION_LOST, f"{dump.end()}: {said}. The server ended the session; nothing was published."
        )
    raise DumpError(Reason.DUMP_FAILED, f"{dump.end()}{': ' if said else ''}{said}. Nothing was published.")


def _require_decoded(verifier: Child) -> None:
    """Raises DumpError/VerificationFailed unless pg_restore could decode everything it got."""
    if verifier.wait() != 0:
        said = " ".join(essence(verifier.errors()).split())
        advice = "The dump could not be proved readable, so nothing was published."
        raise DumpError(Reason.VERIFICATION_FAILED, f"{verifier.end()}{': ' if said else ''}{said}. {advice}")


def contents(clients: Clients, file: Path, environment: Mapping[str, str]) -> bytes:
    """The table of contents of a stored archive. Raises DumpError/VerificationFailed when it cannot be listed."""
    quiet = {key: value for key, value in environment.items() if not key.startswith("PG")}
    with file.open("rb") as opened:
        source: IO[bytes] = opened
        if clients.outer_zstd:
            import zstandard

            source = zstandard.ZstdDecompressor().stream_reader(opened)
        with running("pg_restore", clients.contents(), quiet, feeds=True, reads=True) as lister:
            return _listed(source, lister)


def _listed(source: IO[bytes], lister: Child) -> bytes:
    """Feed until pg_restore has seen enough: the contents stand in front, so it stops reading early."""
    import threading

    def feed() -> None:
        try:
            while chunk := source.read(CHUNK):
                _write_all(lister.stdin, chunk)
        except OSError:
            pass
        lister.stdin.close()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    listed = lister.stdout.read()
    code = lister.wait()
    feeder.join()
    if code != 0 or not listed:
        raise DumpError(
            Reason.VERIFICATION_FAILED, f"{lister.end()}: the stored archive cannot be listed. Nothing was published."
        )
    return listed
