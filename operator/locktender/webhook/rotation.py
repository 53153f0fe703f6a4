"""Who signs, who signs next, and whom API servers have to trust. Pure: stored state and the time in, wanted state out.

       age of A    0 ............ 2/3 of its life ......... + overlap .................. end
       Secret      A signs        A signs, B waits          B signs
       bundle      A              A, B                      A, B                         B

B signs only after everybody has had `overlap` to hear of it, and A stays trusted until it ends, so at no moment is a certificate served
whose authority is not trusted. Every replica computes the same; the API server's resourceVersion decides who writes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from locktender.settings import WEBHOOK_BUNDLE_LIMIT, CertificateTimes
from locktender.webhook.authority import Pair, born, new_authority, used_up

Bundle = tuple[x509.Certificate, ...]


@dataclass(frozen=True)
class Authorities:
    """What the Secret holds."""

    signing: Pair | None = None
    coming: Pair | None = None


def turned(stored: Authorities, published: Bundle, now: datetime, times: CertificateTimes) -> Authorities:
    """What the Secret should hold now."""
    signing, coming = (_alive(pair, now) for pair in (stored.signing, stored.coming))
    if signing is None:
        return Authorities(coming or new_authority(now, times.authority))
    if coming is not None and coming.parsed in published and now >= born(coming.parsed) + times.overlap:
        return Authorities(coming)
    if coming is None and used_up(signing.parsed, now):
        return Authorities(signing, new_authority(now, times.authority))
    return Authorities(signing, coming)


def trusted(published: Bundle, authorities: Authorities, served: Pair | None, now: datetime) -> Bundle:
    """What the bundle should hold now, the oldest first: nobody who may still be in use is dropped. `served`: who signed what we serve."""
    pairs = (authorities.signing, authorities.coming, served)
    own = [pair.parsed for pair in pairs if pair is not None]
    alive = {item for item in (*published, *own) if item.not_valid_after_utc > now}
    newest = sorted(alive, key=lambda item: (item in own, item.not_valid_before_utc, item.serial_number))
    return tuple(
        sorted(newest[-WEBHOOK_BUNDLE_LIMIT:], key=lambda item: (item.not_valid_before_utc, item.serial_number))
    )


def settled(authority: Pair, published: Bundle, now: datetime, times: CertificateTimes) -> bool:
    """Whether API servers have had the time to trust it."""
    return authority.parsed in published and now >= born(authority.parsed) + times.settle


def read_bundle(text: str) -> Bundle:
    """The certificates of a PEM bundle. ValueError when a part is none; an empty text is an empty bundle."""
    return tuple(x509.load_pem_x509_certificates(text.encode())) if text.strip() else ()


def written(bundle: Iterable[x509.Certificate]) -> str:
    """The bundle as PEM."""
    return "".join(item.public_bytes(Encoding.PEM).decode() for item in bundle)


def _alive(pair: Pair | None, now: datetime) -> Pair | None:
    return pair if pair is not None and pair.parsed.not_valid_after_utc > now else None
