"""The certificate that the server shows, exchanged while it serves: new connections get the new one, open ones go on."""

import ssl
import tempfile
from pathlib import Path

from cryptography import x509

from locktender.telemetry.metrics import Metrics


class BadCertificate(ValueError):
    """A certificate and key that cannot be served. `str()` says why."""


class Serving:
    """The TLS side of the server. `context` is made once; loading puts another certificate into it."""

    def __init__(self, metrics: Metrics) -> None:
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._metrics = metrics
        self._loaded: tuple[bytes, bytes] | None = None

    @property
    def loaded(self) -> bool:
        """Whether there is a certificate to serve with."""
        return self._loaded is not None

    def load(self, chain: bytes, key: bytes) -> bool:
        """Serve with this certificate from now on; False when it is the one already served. BadCertificate leaves the old one in place."""
        if self._loaded == (chain, key):
            return False
        try:
            expiry = x509.load_pem_x509_certificate(chain).not_valid_after_utc
            self._into_context(chain, key)
        except (ValueError, ssl.SSLError, OSError) as error:
            raise BadCertificate(f"{type(error).__name__}: {error}") from error
        self._loaded = (chain, key)
        self._metrics.certificate_loaded(expiry)
        return True

    def _into_context(self, chain: bytes, key: bytes) -> None:
        # The ssl module reads files only. The chart's /tmp of this pod is memory, and the files are gone at once.
        with tempfile.TemporaryDirectory(prefix="tls-") as folder:
            chain_file, key_file = Path(folder, "tls.crt"), Path(folder, "tls.key")
            chain_file.write_bytes(chain)
            key_file.touch(mode=0o600)
            key_file.write_bytes(key)
            # A context of its own first: a key that does not fit must not reach the one that serves.
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain_file, key_file)
            self.context.load_cert_chain(chain_file, key_file)
