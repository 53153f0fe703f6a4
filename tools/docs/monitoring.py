"""The table of alerts in docs/monitoring.md, out of the rules file."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "charts" / "locktender" / "files" / "alerts.yaml"
PAGE = ROOT / "docs" / "monitoring.md"
RUNBOOKS = ROOT / "docs" / "runbooks"
BEGIN, END = (
    "<!-- alerts: rendered from charts/locktender/files/alerts.yaml by `make render` -->",
    "<!-- end of alerts -->",
)


def alerts() -> list[dict[str, Any]]:
    """The alerts as the rules file has them, in its order."""
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def runbook(rule: dict[str, Any]) -> str:
    """The name of an alert's page in docs/runbooks."""
    return str(rule["annotations"]["runbook_url"].rpartition("/")[2])


def table() -> str:
    """One row an alert."""
    lines = ["| alert | severity | after | what it says |", "|---|---|---|---|"]
    for rule in alerts():
        name = f"[{rule['alert']}](runbooks/{runbook(rule)})"
        after = rule.get("for", "at once")
        lines.append(f"| {name} | {rule['labels']['severity']} | {after} | {rule['annotations']['summary']}. |")
    return "\n".join(lines)


def page() -> str:
    """The whole page, with the table as it should be. ValueError when the page has lost its marks."""
    head, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} has no place for the alerts: put {BEGIN!r} and {END!r} around it")
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"
