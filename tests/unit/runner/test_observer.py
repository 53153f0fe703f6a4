"""A second session looks on; what happens to it is no matter, except for a signal that arrives just then."""

import pytest

from locktender.runner.connect import Target
from locktender.runner.errors import ConnectionRefused, Interrupted, Reason
from locktender.runner.sql.locks import Observer


def test_an_observer_without_a_session_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefused(Reason.TOO_MANY_CONNECTIONS, "full")

    monkeypatch.setattr("locktender.runner.sql.locks.connect", refuse)
    assert Observer(Target({}, "")).look(1) > 0


def test_a_signal_during_a_look_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise Interrupted

    monkeypatch.setattr("locktender.runner.sql.locks.connect", interrupt)
    with pytest.raises(Interrupted):
        Observer(Target({}, "")).look(1)
