"""The alerts, by Prometheus' own rule tests: each fires when it has to, after its `for`, with its text, and neither before nor otherwise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging import promtool
from tests.packaging.alert_cases import CASES, Case
from tools.docs.monitoring import ALERTS, alerts

pytestmark = pytest.mark.packaging
RULES = {rule["alert"]: rule for rule in alerts()}


def text(template: str, case: Case) -> str:
    """What Prometheus makes of an annotation."""
    filled = re.sub(r"{{ \$labels\.(\w+) }}", lambda label: case.labels[label[1]], template)
    return re.sub(r"{{ \$value[^}]*}}", case.value, filled)


def firing(case: Case) -> dict[str, Any]:
    rule = RULES[case.alert]
    return {
        "exp_labels": {**case.labels, **rule["labels"]},
        "exp_annotations": {name: text(value, case) for name, value in rule["annotations"].items()},
    }


def ruled(tmp_path: Path, *worlds: dict[str, Any]) -> str:
    """What promtool has against these: empty when all is as expected. One call, for each costs a start of promtool."""
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": list(worlds)}))
    done = subprocess.run(
        [promtool.program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def world(series: dict[str, str], *expected: dict[str, Any]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": list(expected),
    }


def looked(alert: str, minute: int, *fires: dict[str, Any]) -> dict[str, Any]:
    return {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": list(fires)}


def test_each_alert_fires_from_its_minute_on_and_not_before(tmp_path: Path) -> None:
    worlds = [
        world(case.series, looked(case.alert, case.at - 1), looked(case.alert, case.at, firing(case))) for case in CASES
    ]
    assert ruled(tmp_path, *worlds) == ""


def test_what_comes_near_does_not_fire(tmp_path: Path) -> None:
    worlds = [world(case.quiet, *(looked(case.alert, minute) for minute in (30, 60, 95))) for case in CASES]
    assert ruled(tmp_path, *worlds) == ""


def test_every_alert_has_its_case() -> None:
    assert [case.alert for case in CASES] == list(RULES)


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    checked = subprocess.run(
        [promtool.program("promtool"), "check", "rules", "--lint=all", "--lint-fatal", ALERTS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"SUCCESS: {len(RULES)} rules found" in checked.stdout


@pytest.mark.parametrize("name", RULES)
def test_every_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = RULES[name]
    assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert not rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["description"].endswith(".")
