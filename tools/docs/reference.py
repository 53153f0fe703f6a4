"""Renders pages from tables: reasons, metrics and settings of the code, the gate's behaviour of its test, the alerts of their rules file.

`--check` fails on a stale page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "operator"))

from locktender.api.conditions import REASON_DOCS, ConditionType  # noqa: E402  # after the path is set
from locktender.telemetry.metric import Kind, Metric  # noqa: E402
from locktender.telemetry.table import METRICS, WEBHOOK_METRICS  # noqa: E402
from tools.docs import architecture, gate_behaviour, monitoring  # noqa: E402

PAGES = ROOT / "docs" / "reference"
CONDITIONS = {
    ConditionType.READY: "The newest release is backed up, migrated and through its gate.",
    ConditionType.RECONCILING: "Something is at work or awaited; absent otherwise.",
    ConditionType.STALLED: "A person is needed; absent otherwise.",
    ConditionType.BACKUP_READY: "The backup of the newest run was proved.",
    ConditionType.MIGRATION_SUCCEEDED: "The migration of the newest run ended with exit code 0.",
    ConditionType.GATE_OPEN: "No Deployment waits at the gate.",
}


def reasons() -> str:
    """The conditions and their reasons."""
    lines = ["# Conditions and reasons", "", "| condition | True means |", "|---|---|"]
    lines += [f"| `{kind}` | {CONDITIONS[kind]} |" for kind in ConditionType]
    lines += [
        "",
        "Reasons of conditions, steps and Events. Reasons of the runner (in a pod) are passed through as they are.",
        "",
    ]
    lines += ["| reason | meaning |", "|---|---|"]
    lines += [f"| `{reason}` | {text} |" for reason, text in sorted(REASON_DOCS.items())]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """The metrics."""
    lines = ["# Metrics", "", "Served at `/metrics` on port 8080 of every replica of the controller:", ""]
    lines += _table(METRICS)
    lines += ["", "Served at `/metrics` on port 8080 of every replica of the gate's webhook:", ""]
    lines += _table(WEBHOOK_METRICS)
    return "\n".join(lines) + "\n"


def _table(rows: tuple[Metric, ...]) -> list[str]:
    lines = ["| name | type | labels | meaning |", "|---|---|---|---|"]
    for metric in rows:
        name = f"{metric.name}_total" if metric.kind is Kind.COUNTER else metric.name
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        lines.append(f"| `{name}` | {metric.kind} | {labels} | {metric.help} |")
    return lines


def settings() -> str:
    """The environment of the controller, read out of settings.py."""
    source = (ROOT / "operator" / "locktender" / "settings.py").read_text()
    names = sorted(set(re.findall(r'"(LOCKTENDER_[A-Z_]+)"', source)))
    lines = [
        "# Settings of the controller and the gate's webhook",
        "",
        "Environment variables; the chart sets them from its values.",
        "",
    ]
    lines += ["| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {SETTINGS[name]} |" for name in names]
    return "\n".join(lines) + "\n"


SETTINGS = {
    "LOCKTENDER_CERTIFICATE_FOLDER": "Webhook: folder of `tls.crt` and `tls.key`, read again when they change.",
    "LOCKTENDER_CERTIFICATE_NAMES": "Webhook: names, comma-separated, for which it signs its own certificate.",
    "LOCKTENDER_CERTIFICATE_SECRET": "Webhook: Secret in which it keeps its own authority.",
    "LOCKTENDER_GATE_CA_CONFIGMAP": "ConfigMap of the webhook's public CA bundle, key `ca.crt`: the webhook writes it, the controller copies it "
    "into the MutatingWebhookConfiguration.",
    "LOCKTENDER_GATE_CONFIGMAP": "ConfigMap of the controller's namespace that holds the gate's own objects as they should be.",
    "LOCKTENDER_GATE_GUARD": "`Restore`, `Report` or `Off` (default): what happens when one of them is deleted or edited.",
    "LOCKTENDER_HOLD_PORT": "Webhook: port that API servers call, over TLS; default 9443.",
    "LOCKTENDER_IMAGE_VOLUMES": "`auto` (image volumes from Kubernetes 1.36 on), `always` or `never` (a copy container).",
    "LOCKTENDER_LEASE_NAME": "Name of the Lease for leader election; default `locktender`.",
    "LOCKTENDER_LEASE_NAMESPACE": "Its namespace: the controller's own.",
    "LOCKTENDER_LOG_LEVEL": "`DEBUG`, `INFO` (default), `WARNING` or `ERROR`.",
    "LOCKTENDER_NAMESPACE": "Webhook: the namespace of the Secret and the ConfigMap.",
    "LOCKTENDER_NAMESPACES": "Comma-separated namespaces to watch; empty for all.",
    "LOCKTENDER_POD_NAME": "Name of the pod: the identity in the Lease and in Events.",
    "LOCKTENDER_PORT": "Port of `/healthz`, `/readyz` and `/metrics`; default 8080.",
    "LOCKTENDER_RUNNER_IMAGE": "Image of the Jobs' runner containers. Required.",
    "LOCKTENDER_RUNNER_PULL_POLICY": "Its pull policy; default `IfNotPresent`.",
    "LOCKTENDER_WORKERS": "Resources worked on at the same time; default 8.",
}


def main() -> int:
    """Write the pages, or compare them with `--check`."""
    check, stale = "--check" in sys.argv[1:], []
    pages = {PAGES / "reasons.md": reasons(), PAGES / "metrics.md": metrics(), PAGES / "settings.md": settings()}
    pages[ROOT / "docs" / "gate-behaviour.md"] = gate_behaviour.page()
    pages[monitoring.PAGE] = monitoring.page()
    pages[architecture.PAGE] = architecture.page(architecture.PAGE.read_text())
    for page, text in pages.items():
        if check and (not page.exists() or page.read_text() != text):
            stale.append(page.relative_to(ROOT))
        elif not check:
            page.write_text(text)
    if stale:
        print(f"out of date: {', '.join(map(str, stale))}. Run: make render", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
