"""A second mutating webhook, as clusters have them: it turns the tags of images into digests."""

import base64
import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

from locktender.webhook.authority import new_authority, sign_serving
from tests.apiserver.gate.manifests import Body

# Mutating webhooks run in the order of their configurations' names; the gate's is gate.locktender.dev, and its policy runs before all of them.
NAMES = {"before": "a.digests.example", "after": "z.digests.example"}
LABEL = "digests"  # its value says which of the two rewrites a Deployment


def digest_of(image: str) -> str:
    """The image by digest; one that has a digest keeps it."""
    return image if "@" in image else f"{image}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"


@contextmanager
def a_rewriter() -> Iterator[list[Body]]:
    """The webhook's server; its two configurations."""
    now = datetime.now(UTC)
    authority = new_authority(now, timedelta(days=1))
    serving = sign_serving(authority, ["127.0.0.1"], now, timedelta(days=1))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with TemporaryDirectory() as folder:
        (Path(folder) / "crt").write_bytes(serving.certificate)
        (Path(folder) / "key").write_bytes(serving.key)
        context.load_cert_chain(Path(folder) / "crt", Path(folder) / "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield [_configuration(when, server.server_port, authority.certificate) for when in NAMES]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _configuration(when: str, port: int, bundle: bytes) -> Body:
    webhook = {
        "name": NAMES[when],
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": base64.b64encode(bundle).decode()},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "objectSelector": {"matchLabels": {LABEL: when}},
        "rules": [
            {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}
        ],
    }  # fmt: skip
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAMES[when]},
        "webhooks": [webhook],
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        containers = review["request"]["object"]["spec"]["template"]["spec"]["containers"]
        patch = [
            {"op": "replace", "path": f"/spec/template/spec/containers/{place}/image", "value": digest_of(item["image"])}
            for place, item in enumerate(containers)
        ]  # fmt: skip
        encoded = base64.b64encode(json.dumps(patch).encode()).decode()
        response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
        body = json.dumps({**review, "request": None, "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing: the test's own output is enough."""
