"""The web shop of the demo: answers every GET with the version it is, and ends at once when asked to."""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = json.dumps({"app": "shop", "version": os.environ["VERSION"], "pod": socket.gethostname()}).encode() + b"\n"


class Shop(BaseHTTPRequestHandler):
    """One page."""

    def do_GET(self) -> None:
        """Answer with the version."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        """Probes would fill the log."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("", 8080), Shop).serve_forever()
