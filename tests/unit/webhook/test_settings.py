"""The environment of `gate-webhook`: somebody else's certificates or our own, never half of each."""

import pytest

from locktender.settings import SettingsError, WebhookSettings, read_webhook

OWN = {
    "LOCKTENDER_CERTIFICATE_SECRET": "ca",
    "LOCKTENDER_GATE_CA_CONFIGMAP": "ca",
    "LOCKTENDER_CERTIFICATE_NAMES": "a.svc, b.svc",
}


def test_certificates_of_somebody_else() -> None:
    assert read_webhook({"LOCKTENDER_CERTIFICATE_FOLDER": "/x"}) == WebhookSettings(certificate_folder="/x")


def test_certificates_of_our_own() -> None:
    expected = WebhookSettings(
        certificate_names=("a.svc", "b.svc"),
        secret="ca",
        config_map="ca",
        namespace="lt",
        hold_port=1,
        port=2,
        log_level="DEBUG",
    )
    more = {
        "LOCKTENDER_NAMESPACE": "lt",
        "LOCKTENDER_HOLD_PORT": "1",
        "LOCKTENDER_PORT": "2",
        "LOCKTENDER_LOG_LEVEL": "debug",
    }
    assert read_webhook(OWN | more) == expected


@pytest.mark.parametrize("missing", [None, *OWN])
def test_half_a_configuration_is_refused(missing: str | None) -> None:
    given = {} if missing is None else {name: value for name, value in OWN.items() if name != missing}
    with pytest.raises(SettingsError, match="set either LOCKTENDER_CERTIFICATE_FOLDER"):
        read_webhook(given)


def test_both_are_refused() -> None:
    with pytest.raises(SettingsError):
        read_webhook(OWN | {"LOCKTENDER_CERTIFICATE_FOLDER": "/x"})
