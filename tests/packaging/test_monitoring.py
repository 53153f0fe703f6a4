"""What the chart installs for Prometheus and Grafana, and that it is what the plain files hold."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.packaging import promtool
from tests.packaging.test_chart import BY_WEBHOOK, objects, one, refusal
from tools.docs import monitoring
from tools.docs.monitoring import ALERTS
from tools.render import render

pytestmark = pytest.mark.packaging
MONITORS = "--set=metrics.serviceMonitor.enabled=true"
RULES = "--set=metrics.prometheusRule.enabled=true"
DASHBOARDS = "--set=metrics.dashboards.enabled=true"
FILES = sorted((render.CHART / "files" / "dashboards").glob("*.json"))


def rules(*arguments: str) -> dict[str, dict[str, Any]]:
    """The alerts that the chart installs."""
    groups = one("PrometheusRule", RULES, *arguments)["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def of_file() -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"]
    return groups


def dashboards(*arguments: str) -> list[dict[str, Any]]:
    return [
        item for item in objects(DASHBOARDS, *arguments) if item["metadata"]["name"].startswith("locktender-dashboard")
    ]


class TestServiceMonitors:
    def test_are_not_installed_unless_asked_for(self) -> None:
        kinds = {item["kind"] for item in objects(*BY_WEBHOOK)}
        assert kinds & {"ServiceMonitor", "PrometheusRule"} == set()
        assert [item for item in objects() if "dashboard" in item["metadata"]["name"]] == []

    def test_the_webhook_is_scraped_where_there_is_one(self) -> None:
        found = {
            item["metadata"]["name"]: item["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
            for item in objects(MONITORS, *BY_WEBHOOK)
            if item["kind"] == "ServiceMonitor"
        }
        assert found == {"locktender": "operator", "locktender-gate-webhook": "gate-webhook"}
        assert one("ServiceMonitor", MONITORS, "--set=gate.carrier=policy")["metadata"]["name"] == "locktender"

    def test_the_namespace_of_a_series_stays_that_of_its_migration(self) -> None:
        monitors = [item for item in objects(MONITORS, *BY_WEBHOOK) if item["kind"] == "ServiceMonitor"]
        assert [[end["honorLabels"] for end in item["spec"]["endpoints"]] for item in monitors] == [[True], [True]]

    def test_each_selects_a_service_with_the_port_it_names(self) -> None:
        installed = objects(MONITORS, *BY_WEBHOOK)
        services = [item for item in installed if item["kind"] == "Service"]
        for monitor in (item for item in installed if item["kind"] == "ServiceMonitor"):
            wanted = monitor["spec"]["selector"]["matchLabels"].items()
            selected = [item for item in services if wanted <= item["metadata"]["labels"].items()]
            assert len(selected) == 1
            ports = {port["name"] for port in selected[0]["spec"]["ports"]}
            assert monitor["spec"]["endpoints"][0]["port"] in ports


class TestPrometheusRule:
    def test_holds_the_alerts_of_the_plain_file_as_they_are(self) -> None:
        assert one("PrometheusRule", RULES)["spec"]["groups"] == of_file()

    def test_is_found_by_its_labels_where_it_is_wanted(self) -> None:
        place = "--set=metrics.prometheusRule.namespace=monitoring,metrics.prometheusRule.labels.release=stack"
        metadata = one("PrometheusRule", RULES, place)["metadata"]
        assert (metadata["namespace"], metadata["labels"]["release"]) == ("monitoring", "stack")
        assert one("PrometheusRule", RULES)["metadata"]["namespace"] == render.NAMESPACE

    def test_takes_other_thresholds_labels_and_runbooks_and_is_still_good(self, tmp_path: Path) -> None:
        changed = rules(
            '--set-json=metrics.prometheusRule.thresholds={"LocktenderMigrationSlow":3600.5,"LocktenderMigrationFillsDisk":21474836480}',
            "--set=metrics.prometheusRule.alertLabels.team=shop",
            "--set=metrics.prometheusRule.runbookUrl=https://wiki.example/runbooks",
        )
        plain = rules()
        slow, disk = changed["LocktenderMigrationSlow"], changed["LocktenderMigrationFillsDisk"]
        assert slow["expr"] == plain["LocktenderMigrationSlow"]["expr"].replace("> 1800", "> 3600.5")
        assert disk["expr"] == plain["LocktenderMigrationFillsDisk"]["expr"].replace("> 10737418240", "> 21474836480")
        assert slow["labels"] == {"severity": "warning", "team": "shop"}
        assert slow["annotations"]["runbook_url"] == "https://wiki.example/runbooks/migration-slow.md"
        untouched = {"LocktenderMigrationSlow", "LocktenderMigrationFillsDisk"}
        assert {name: rule["expr"] for name, rule in changed.items() if name not in untouched} == {
            name: rule["expr"] for name, rule in plain.items() if name not in untouched
        }
        file = tmp_path / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": list(changed.values())}]}))
        checked = subprocess.run(
            [promtool.program("promtool"), "check", "rules", file], capture_output=True, check=False
        )
        assert checked.returncode == 0, checked.stderr

    def test_leaves_alerts_out_and_takes_more(self) -> None:
        extra = '[{"name":"mine","rules":[{"alert":"Mine","expr":"vector(1)"}]}]'
        found = rules(
            "--set=metrics.prometheusRule.disabled={LocktenderBackupTooOld}",
            f"--set-json=metrics.prometheusRule.extraGroups={extra}",
        )
        assert "LocktenderBackupTooOld" not in found
        assert found["Mine"] == {"alert": "Mine", "expr": "vector(1)"}
        assert len(found) == len(rules())

    @pytest.mark.parametrize("value", ["disabled={LocktenderNothing}", "thresholds.LocktenderNothing=1"])
    def test_an_alert_that_does_not_exist_is_refused(self, value: str) -> None:
        words = refusal(RULES, f"--set=metrics.prometheusRule.{value}")
        assert "names the alert LocktenderNothing, which does not exist; docs/monitoring.md lists the alerts" in words


class TestDashboards:
    def test_are_the_plain_files_in_config_maps_with_the_sidecars_label(self) -> None:
        found = dashboards()
        assert [item["metadata"]["labels"]["grafana_dashboard"] for item in found] == ["1", "1"]
        held = {name: json.loads(text) for item in found for name, text in item["data"].items()}
        assert held == {f"locktender-{file.name}": json.loads(file.read_text()) for file in FILES}

    def test_go_where_they_are_wanted(self) -> None:
        place = "--set=metrics.dashboards.namespace=monitoring,metrics.dashboards.folder=Databases,metrics.dashboards.annotations.a=b"
        for item in dashboards(place):
            assert item["metadata"]["namespace"] == "monitoring"
            assert item["metadata"]["annotations"] == {"grafana_folder": "Databases", "a": "b"}
        assert [item["metadata"].get("annotations") for item in dashboards()] == [None, None]


def test_the_page_about_monitoring_lists_every_alert_and_names_values_that_exist() -> None:
    page = monitoring.PAGE.read_text()
    assert page == monitoring.page()
    values = yaml.safe_load((render.CHART / "values.yaml").read_text())
    blocks = [yaml.safe_load(block.split("```")[0]) for block in page.split("```yaml\n")[1:]]
    for block in (block for block in blocks if "metrics" in block):
        for part, options in block["metrics"].items():
            assert options.keys() <= values["metrics"][part].keys()
