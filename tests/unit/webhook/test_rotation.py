"""Who signs, who signs next and who is trusted, over years of an injected clock."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from locktender.settings import WEBHOOK_BUNDLE_LIMIT, CertificateTimes
from locktender.webhook.authority import new_authority, read_authority, sign_serving
from locktender.webhook.rotation import Authorities, Bundle, read_bundle, settled, trusted, turned, written

START = datetime(2026, 3, 1, tzinfo=UTC)
TIMES = CertificateTimes()
A = new_authority(START, TIMES.authority)
LATER = START + TIMES.authority * 2 / 3
B = new_authority(LATER, TIMES.authority)


def test_an_empty_secret_gets_an_authority() -> None:
    made = turned(Authorities(), (), START, TIMES)
    assert made.coming is None
    assert made.signing is not None
    assert made.signing.parsed.not_valid_after_utc == START + TIMES.authority


def test_nothing_turns_before_two_thirds_of_a_life() -> None:
    stored = Authorities(A)
    assert turned(stored, (A.parsed,), LATER - timedelta(seconds=1), TIMES) == stored


def test_after_two_thirds_the_next_one_comes_and_the_old_one_signs_on() -> None:
    made = turned(Authorities(A), (A.parsed,), LATER, TIMES)
    assert made.signing == A
    assert made.coming is not None
    assert turned(made, (A.parsed,), LATER + timedelta(hours=1), TIMES) == made, "one is enough"


def test_the_next_one_signs_when_it_was_published_for_long_enough() -> None:
    stored = Authorities(A, B)
    early, due = LATER + TIMES.overlap - timedelta(seconds=1), LATER + TIMES.overlap
    assert turned(stored, (A.parsed, B.parsed), early, TIMES) == stored
    assert turned(stored, (A.parsed, B.parsed), due, TIMES) == Authorities(B)
    assert turned(stored, (A.parsed,), due, TIMES) == stored, "nobody trusts it yet"


def test_an_authority_that_has_ended_is_followed_by_whoever_is_there() -> None:
    ended = START + TIMES.authority
    assert turned(Authorities(A, B), (), ended, TIMES) == Authorities(B)
    fresh = turned(Authorities(A), (), ended, TIMES)
    assert fresh.signing not in (None, A)


def test_the_bundle_drops_only_what_has_ended() -> None:
    assert trusted((A.parsed,), Authorities(A, B), None, LATER) == (A.parsed, B.parsed)
    assert trusted((A.parsed, B.parsed), Authorities(B), A, LATER + TIMES.overlap) == (A.parsed, B.parsed)
    assert trusted((A.parsed, B.parsed), Authorities(B), B, START + TIMES.authority) == (B.parsed,)
    assert trusted((), Authorities(B), A, LATER) == (A.parsed, B.parsed), "what is served stays trusted after a loss"


def test_the_bundle_is_bounded_and_keeps_what_is_in_use() -> None:
    many = tuple(new_authority(LATER + timedelta(seconds=n), TIMES.authority).parsed for n in range(12))
    found = trusted(many, Authorities(B), A, LATER + timedelta(minutes=1))
    assert len(found) == WEBHOOK_BUNDLE_LIMIT
    assert {A.parsed, B.parsed, many[-1]} <= set(found)


def test_a_bundle_is_read_as_it_was_written() -> None:
    assert read_bundle(written((A.parsed, B.parsed))) == (A.parsed, B.parsed)
    assert read_bundle(" \n") == ()
    with pytest.raises(ValueError, match="PEM"):
        read_bundle("no certificate")


def test_an_authority_settles_when_it_is_published_and_old_enough() -> None:
    assert settled(A, (A.parsed,), START + TIMES.settle, TIMES)
    assert not settled(A, (A.parsed,), START, TIMES)
    assert not settled(A, (B.parsed,), LATER, TIMES)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.booleans()), min_size=5, max_size=30))
def test_through_years_of_looks_and_losses_what_signs_is_always_trusted(steps: list[tuple[int, bool]]) -> None:
    """Days until the next look, and whether the Secret was lost meanwhile."""
    now, stored = START, Authorities()
    bundle: Bundle = ()
    for days, lost in steps:
        now += timedelta(days=days)
        before = stored.signing
        stored = turned(Authorities() if lost else stored, bundle, now, TIMES)
        bundle = trusted(bundle, stored, before, now)
        assert stored.signing is not None
        assert stored.signing.parsed in bundle
        assert before is None or before.parsed.not_valid_after_utc <= now or before.parsed in bundle


@pytest.mark.parametrize(
    ("certificate", "key"),
    [(b"", b""), (A.certificate, b""), (b"x", A.key), (A.certificate, B.key), (A.certificate, A.certificate)],
)
def test_what_is_no_authority_is_refused(certificate: bytes, key: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the library's own words; what matters is the class
        read_authority(certificate, key)


def test_a_serving_certificate_is_no_authority() -> None:
    serving = sign_serving(A, ["web.svc"], START, TIMES.serving)
    with pytest.raises(ValueError, match="is not that of an authority"):
        read_authority(serving.certificate, serving.key)


def test_a_serving_certificate_ends_no_later_than_its_authority() -> None:
    end = A.parsed.not_valid_after_utc
    assert sign_serving(A, ["web.svc"], end - timedelta(days=1), TIMES.serving).parsed.not_valid_after_utc == end


def test_openssl_trusts_what_we_sign(tmp_path: Path) -> None:
    """By the strict rules of RFC 5280 that Python 3.13 and Go apply."""
    now = datetime.now(UTC)
    authority = new_authority(now, TIMES.authority)
    pair = sign_serving(authority, ["locktender.svc", "127.0.0.1"], now, TIMES.serving)
    (tmp_path / "crt").write_bytes(pair.certificate)
    (tmp_path / "key").write_bytes(pair.key)
    serving, asking = (
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH),
        ssl.create_default_context(cadata=authority.certificate.decode()),
    )
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    serving.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = (
        asking.wrap_bio(back, there, server_hostname="locktender.svc"),
        serving.wrap_bio(there, back, server_side=True),
    )
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert client.getpeercert()
