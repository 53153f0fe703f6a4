"""Every query of the dashboards and of the alerts, asked of a real Prometheus that scrapes what the operator and the webhook expose."""

from __future__ import annotations

import json
import math
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.apiserver.webhook import free_port
from tests.packaging import exposition, promtool
from tools.docs.monitoring import ALERTS, alerts
from tools.render import render

pytestmark = pytest.mark.packaging
DASHBOARDS = sorted((render.CHART / "files" / "dashboards").glob("*.json"))
PATIENCE = 60.0  # seconds until Prometheus has started and scraped often enough
VARIABLES = {"overview": {"namespace": ".*"}, "migration": {"namespace": "shop", "migration": "shop-db"}}
Query = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Query]:
    """Asks a Prometheus with the alerts loaded, once it has scraped both replicas three times."""
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_port()
    with exposition.served() as exposed:
        jobs = [_job(path, exposed) for path in ("operator", "webhook")]
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "scrape_configs": jobs,
            "rule_files": [str(ALERTS)],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        arguments = (
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        )
        log = (folder / "log").open("w")
        server = subprocess.Popen([promtool.program("prometheus"), *arguments], stdout=log, stderr=log)
        base = f"http://127.0.0.1:{port}/api/v1"

        def ask(expression: str) -> list[dict[str, Any]]:
            answer = _get(f"{base}/query?" + urllib.parse.urlencode({"query": expression}))
            return list(answer["data"]["result"])

        try:
            _wait_for(lambda: len(ask("sum_over_time(up[1m]) >= 3")) == len(jobs))
            _wait_for(lambda: all(rule["health"] == "ok" for rule in _rules(base)))
            yield ask
        finally:
            server.terminate()
            server.wait()
            log.close()


def _job(name: str, port: int) -> dict[str, Any]:
    labels = {"namespace": "locktender-system", "pod": f"{name}-1"}
    return {
        "job_name": name,
        "metrics_path": f"/{name}",
        "honor_labels": True,
        "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}],
    }


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  # our own server
        found: dict[str, Any] = json.load(answer)
    return found


def _rules(base: str) -> list[dict[str, Any]]:
    groups = _get(f"{base}/rules")["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]] or [{"health": "not loaded"}]


def _wait_for(done: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            if done():
                return
        except OSError:
            pass  # it has not started to listen
        assert time.monotonic() < until, "Prometheus is not ready"
        time.sleep(0.1)


def expressions(dashboard: Path) -> list[str]:
    """The queries of a dashboard's panels and variables, with its variables filled in."""
    content = json.loads(dashboard.read_text())
    found = [target["expr"] for panel in content["panels"] for target in panel.get("targets", ())]
    for variable in content["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
            found.append(f'{metric[:-1]}, {label}!=""}}' if metric.endswith("}") else f'{metric}{{{label}!=""}}')
    for name, value in VARIABLES[dashboard.stem].items():
        found = [expression.replace(f"${name}", value) for expression in found]
    return found


def numbers(answer: list[dict[str, Any]]) -> list[float]:
    return [float(series["value"][1]) for series in answer]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_query_of_a_dashboard_yields_numbers(dashboard: Path, query: Query) -> None:
    asked = expressions(dashboard)
    assert len(asked) > 20
    assert [item for item in asked if "$" in item] == []
    without = [item for item in asked if not any(not math.isnan(number) for number in numbers(query(item)))]
    assert without == []


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_selector_of_an_alert_finds_series_and_every_label_it_speaks_of_is_there(
    rule: dict[str, Any], query: Query
) -> None:
    selectors = re.findall(r"locktender_[a-z_]+(?:\{[^}]*\})?", rule["expr"])
    assert selectors != []
    assert [selector for selector in selectors if query(selector) == []] == []
    if rule["expr"].startswith("absent("):
        assert query(rule["expr"]) == []
        return
    left = query(re.sub(r"\s*(<|>|==)\s*[0-9.]+$", "", rule["expr"]))
    spoken = set(re.findall(r"\$labels\.(\w+)", "".join(rule["annotations"].values())))
    grouped = {label for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in labels.split(", ")}
    assert left != []
    assert [series for series in left if not spoken | grouped <= series["metric"].keys()] == []


def test_the_replicas_that_are_scraped_expose_every_metric_there_is() -> None:
    for replica in (exposition.Operator(), exposition.Webhook()):
        replica.lives()
        families = text_string_to_metric_families(generate_latest(replica.metrics.registry).decode())
        assert [family.name for family in families if not family.samples] == []


def test_a_query_for_what_is_not_exposed_would_be_found_out(query: Query) -> None:
    assert query("locktender_no_such_metric") == []
    assert query('locktender_ready{namespace="locktender-system"}') == []
