"""What leaves a pod: redacted, short enough, and of one shape."""

import json

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from locktender.runner import redact, termination
from locktender.runner.connect import parse, require_supported
from locktender.runner.errors import ConnectionRefused, Outcome, Reason, RunnerError, classify, refusal


@pytest.fixture(autouse=True)
def no_secrets():
    redact.forget()
    yield
    redact.forget()


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("see postgresql://u:p%40w@h:5432/d now", "see postgresql://***@h:5432/d now"),
        ("postgres+asyncpg://u:a:b@c@h/d", "postgres+asyncpg://***@h/d"),
        ("host=h password=hunter2 user=u", "host=h password=*** user=u"),
        ("password='a b\\'c' x", "password=*** x"),
        ("?user=u&password=x&a=b", "?user=u&password=***&a=b"),
        (
            "ERROR: no\nDETAIL:  Key (a)=(b) exists.\nHINT: h",
            "ERROR: no\nDETAIL:  (withheld: it may hold row values)\nHINT: h",
        ),
        ("nothing here", "nothing here"),
    ],
)
def test_passwords_and_details_are_masked(said, expected):
    assert redact.text(said) == expected


def test_the_password_of_the_url_is_masked_in_every_form():
    parse("postgres://u:s%2Fcret%40@h/d")
    assert redact.text("s/cret@ s%2Fcret%40") == "*** ***"


def test_values_in_messages_of_conversion_errors_are_masked():
    assert (
        redact.primary('invalid input syntax for type integer: "secret "x" y"', "22P02")
        == 'invalid input syntax for type integer: "…"'
    )
    assert redact.primary('column "a" does not exist', "42703") == 'column "a" does not exist'


json_values = st.recursive(
    st.one_of(st.text(max_size=3000), st.integers(), st.none()),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
)


@given(
    st.text(max_size=9000),
    st.dictionaries(st.sampled_from(["backup", "applied", "file", "line", "x"]), json_values, max_size=5),
)
def test_a_termination_message_is_always_json_and_never_too_long(message, more):
    report = {**more, "kind": "sql", "outcome": "Failed", "reason": "StatementFailed", "message": message}
    encoded = termination.encode(report)
    assert len(encoded.encode()) <= 4096
    assert json.loads(encoded)["reason"] == "StatementFailed"


def test_a_long_message_is_cut_and_the_facts_stay():
    facts = {"id": "b", "sizeBytes": 1}
    found = json.loads(
        termination.encode(
            {"kind": "backup", "outcome": "Failed", "reason": "DumpFailed", "message": "é" * 9000, "backup": facts}
        )
    )
    assert found["backup"] == facts
    assert found["message"].endswith("…")


def test_a_message_that_cannot_be_written_is_no_failure(monkeypatch):
    monkeypatch.setenv("LOCKTENDER_TERMINATION_LOG", "/proc/absent/log")
    termination.write({"kind": "sql", "outcome": "Failed", "reason": "X", "message": ""})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('connection failed: FATAL:  password authentication failed for user "u"', Reason.AUTHENTICATION_FAILED),
        ('FATAL:  role "u" does not exist', Reason.AUTHENTICATION_FAILED),
        ("fe_sendauth: no password supplied", Reason.AUTHENTICATION_FAILED),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', Reason.AUTHENTICATION_FAILED),
        ('FATAL:  database "d" does not exist', Reason.DATABASE_MISSING),
        ("FATAL:  the database system is starting up", Reason.DATABASE_STARTING_UP),
        ("FATAL:  sorry, too many clients already", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  remaining connection slots are reserved", Reason.TOO_MANY_CONNECTIONS),
        ('FATAL:  permission denied for database "d"', Reason.PERMISSION_DENIED),
        ("server does not support SSL, but SSL was required", Reason.INVALID_URL),
        ("Connection refused", Reason.DATABASE_UNREACHABLE),
        ('could not translate host name "h" to address', Reason.DATABASE_UNREACHABLE),
    ],
)
def test_a_refused_connection_has_a_reason(said, reason):
    assert refusal(said).reason is reason


def test_what_may_come_right_by_waiting_has_its_own_exit_code():
    codes = {reason: (RunnerError(reason, "").outcome, RunnerError(reason, "").exit_code) for reason in Reason}
    waiting = {reason for reason, (outcome, code) in codes.items() if (outcome, code) == (Outcome.WAITING, 75)}
    assert waiting == {
        Reason.DATABASE_UNREACHABLE,
        Reason.DATABASE_STARTING_UP,
        Reason.TOO_MANY_CONNECTIONS,
        Reason.DATABASE_BUSY,
        Reason.DATABASE_MISSING,
    }
    assert {code for reason, (_, code) in codes.items() if reason not in waiting} == {1}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), Reason.STORAGE_FULL),
        (OSError(122, "Disk quota exceeded"), Reason.STORAGE_FULL),
        (OSError(27, "File too large"), Reason.STORAGE_FULL),
        (OSError(30, "Read-only file system"), Reason.STORAGE_UNWRITABLE),
        (PermissionError(13, "Permission denied"), Reason.STORAGE_UNWRITABLE),
        (psycopg.errors.InsufficientPrivilege("x"), Reason.PERMISSION_DENIED),
        (psycopg.errors.LockNotAvailable("x"), Reason.LOCK_TIMEOUT),
        (psycopg.errors.QueryCanceled("x"), Reason.STATEMENT_TIMEOUT),
        (psycopg.errors.AdminShutdown("x"), Reason.CONNECTION_LOST),
        (psycopg.OperationalError("server closed the connection"), Reason.CONNECTION_LOST),
        (psycopg.errors.SyntaxError("x"), Reason.STATEMENT_FAILED),
        (RuntimeError("x"), Reason.INTERNAL_ERROR),
    ],
)
def test_every_error_has_one_reason(error, reason):
    assert classify(error).reason is reason


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:pw@h:5433/d?sslmode=require",
        "postgresql://u:pw@h:5433/d?sslmode=require",
        "postgresql+psycopg2://u:pw@h:5433/d?sslmode=require\n",
    ],
)
def test_urls_of_all_usual_forms_mean_the_same(url):
    target = parse(url)
    assert (target.parameters, target.password) == (
        {"user": "u", "host": "h", "port": "5433", "dbname": "d", "sslmode": "require"},
        "pw",
    )
    assert target.label == "d at h:5433"
    assert target.url() == "postgres://u@h:5433/d?sslmode=require"
    assert "pw" not in repr(target)


@pytest.mark.parametrize(
    "url", ["", "mysql://u:pwpw@h/d", "h:5432/d", "postgres://u:pwpw@h/d?pool=1", "postgres://u:pw%pw@h/d"]
)
def test_what_is_no_url_is_refused_without_being_quoted(url):
    with pytest.raises(ConnectionRefused) as caught:
        parse(url)
    assert caught.value.reason is Reason.INVALID_URL
    assert "pwpw" not in str(caught.value)


@pytest.mark.parametrize(("version", "supported"), [(130012, False), (140023, True), (180006, True), (190000, False)])
def test_only_majors_with_client_programs_are_served(version, supported):
    class Fake:
        class info:  # noqa: N801
            server_version = version

    if supported:
        assert require_supported(Fake()) == version // 10_000
        return
    with pytest.raises(ConnectionRefused) as caught:
        require_supported(Fake())
    assert caught.value.reason is Reason.UNSUPPORTED_SERVER
    assert "14 to 18" in caught.value.message
