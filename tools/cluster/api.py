"""The few calls to the Kubernetes API that the tools themselves need, over one kept connection."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING, Any

from tools.cluster.settings import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Manifest = dict[str, Any]


class Api:
    """A client with the administrator's certificate. Not for several threads."""

    def __init__(self, host: str, port: int, pki: Path) -> None:
        """Nothing is sent before the first call."""
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self._connection = http.client.HTTPSConnection(host, port, timeout=20, context=context)

    def get(self, path: str) -> Manifest | None:
        """The object or list at `path`; None when there is none."""
        status, body = self._call("GET", path)
        if status == 404:
            return None
        return _object(status, body, path)

    def apply(self, path: str, manifest: Manifest) -> Manifest:
        """Server-side apply of `manifest` to `path`, which ends in its name."""
        query = "?fieldManager=locktender-cluster&force=true"
        status, body = self._call("PATCH", path + query, manifest, "application/apply-patch+yaml")
        return _object(status, body, path)

    def delete(self, path: str) -> None:
        """Delete the object at `path`; no error when it is not there."""
        status, body = self._call("DELETE", path)
        if status != 404:
            _object(status, body, path)

    def close(self) -> None:
        """Close the connection; the next call opens it again."""
        self._connection.close()

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self._call("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return False

    def _call(self, method: str, path: str, body: Manifest | None = None, kind: str = "") -> tuple[int, bytes]:
        payload = json.dumps(body) if body is not None else None
        headers = {"Accept": "application/json", **({"Content-Type": kind} if kind else {})}
        self._connection.request(method, path, payload, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def _object(status: int, body: bytes, path: str) -> Manifest:
    if status >= 300:
        raise ClusterError(f"The API server answered {status} for {path}: {body.decode(errors='replace')[:500]}")
    answer: Manifest = json.loads(body)
    return answer


def wait_for(what: str, seconds: float, met: Callable[[], bool], reason: Callable[[], str] = str) -> None:
    """Wait until `met`; ClusterError naming `what` and `reason()` after `seconds`."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            raise ClusterError(f"{what} did not come within {seconds:.0f} s. {reason()}")
        time.sleep(0.05)
