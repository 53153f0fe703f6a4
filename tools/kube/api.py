"""Requests to a cluster through `kubectl proxy` on a private socket, so that every way to log in works that kubectl knows."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

START_SECONDS = 20.0  # kubectl starts in a fraction of a second; a busy machine takes longer
REQUEST_SECONDS = 30.0
BUSY_SECONDS = 20.0  # the storage of a definition that was just installed answers 429 for a second or two
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server refused a request: `status` is the HTTP status, `str()` its message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost")
        self._path = path
        self._patience = timeout

    def connect(self) -> None:
        """Connect to the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._patience)
        self.sock.connect(str(self._path))


class Watch:
    """Iterates over the events of a collection until the server ends the watch or another thread calls `close`."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._response = response

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            yield from (json.loads(line) for line in self._lines() if line)
        finally:
            self._response.close()
            self._connection.close()

    def _lines(self) -> Iterator[bytes]:
        pending = b""
        while True:
            try:
                part = self._response.read1(1 << 16)
            except (http.client.HTTPException, OSError, ValueError):
                return
            if not part:
                return
            *complete, pending = (pending + part).split(b"\n")
            yield from complete

    def close(self) -> None:
        """End the watch; the iterating thread gets its end."""
        with contextlib.suppress(OSError, AttributeError):
            self._connection.sock.shutdown(socket.SHUT_RDWR)


class Api:
    """A context manager; may be used by several threads at once."""

    def __init__(self, kubeconfig: Path, kubectl: str = "kubectl") -> None:
        self._command = (kubectl, f"--kubeconfig={kubeconfig}", "proxy")
        self._folder = Path()
        self._proxy: subprocess.Popen[bytes] | None = None
        self._kept = threading.local()
        self._opened: list[_SocketConnection] = []

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="locktender-api-"))  # 0700: the socket gives all rights
        self._proxy = subprocess.Popen((*self._command, f"--unix-socket={self._socket}"), stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while not _listens(self._socket):
            if self._proxy.poll() is not None or time.monotonic() > end:
                raise ApiError(0, f"{' '.join(self._command)} did not start")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._opened:
            connection.close()
        if self._proxy:
            self._proxy.terminate()
            self._proxy.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _socket(self) -> Path:
        return self._folder / "socket"

    def call(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        """The JSON answer; text where it is not JSON. ApiError for a status of 400 and above."""
        status, data = self.answer(method, path, body, content)
        end = time.monotonic() + BUSY_SECONDS
        while status == 429 and time.monotonic() < end:
            time.sleep(0.2)
            status, data = self.answer(method, path, body, content)
        if status >= 400:
            raise ApiError(status, _message(data))
        try:
            return json.loads(data)
        except ValueError:
            return data.decode(errors="replace")

    def answer(self, method: str, path: str, body: Any = None, content: str = "application/json") -> tuple[int, bytes]:
        """Status and body of the answer. Each thread keeps a connection."""
        payload = None if body is None else json.dumps(body).encode()
        for attempt in (1, 2):
            connection = getattr(self._kept, "connection", None) or self._connected()
            try:
                connection.request(method, path, payload, {"Content-Type": content})
                response = connection.getresponse()
                return response.status, response.read()
            except (ConnectionError, http.client.BadStatusLine, http.client.CannotSendRequest):
                # A kept connection may have been closed by the other side; a new one is tried once.
                connection.close()
                self._kept.connection = None
                if attempt == 2:
                    raise
        raise AssertionError

    def _connected(self) -> _SocketConnection:
        """A connection of this thread, closed with the client."""
        self._kept.connection = connection = _SocketConnection(self._socket, REQUEST_SECONDS)
        self._opened.append(connection)
        return connection

    def get(self, path: str) -> Any:
        """The object at `path`, None where there is none."""
        try:
            return self.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, path: str, body: Any) -> Any:
        """POST to a collection."""
        return self.call("POST", path, body)

    def merge(self, path: str, patch: Any) -> Any:
        """Apply a merge patch."""
        return self.call("PATCH", path, patch, MERGE)

    def delete(self, path: str, propagation: str = "Background") -> None:
        """Delete an object; nothing when there is none."""
        with contextlib.suppress(ApiError):
            self.call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation})

    def watch(self, path: str, version: str) -> Watch:
        """The events of a collection after resource version `version`."""
        query = f"{'&' if '?' in path else '?'}watch=1&resourceVersion={version}&timeoutSeconds=3000"
        connection = _SocketConnection(self._socket, None)
        connection.request("GET", path + query)
        response = connection.getresponse()
        if response.status != 200:
            raise ApiError(response.status, _message(response.read()))
        return Watch(connection, response)


def _listens(path: Path) -> bool:
    """Whether somebody answers at a socket; its file is there a moment before."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data).get("message", ""))
    except (ValueError, AttributeError):
        return data.decode(errors="replace").strip()


def environment(kubeconfig: Path, tools: Path) -> dict[str, str]:
    """The environment in which kubectl and helm find this cluster; `tools` comes first on PATH."""
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": f"{tools}:{os.environ['PATH']}"}
