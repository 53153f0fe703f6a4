"""The bench of the gate works, in its short form, and leaves what it promises; how good its numbers are is for a quiet machine to say."""

import json

import pytest

from tools.bench.gate import main, manifests

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
ROWS = [
    "plain_rollout_p50_s", "bare_job_p50_s", "noop_p50_s", "noop_max_s", "noop_ratio", "helm_hook_p50_s", "with_backup_p50_s",
    "admission_added_p50_ms", "admission_added_p99_ms", "admission_added_p99_low_ms", "admission_added_p99_high_ms",
    "verdict_to_release_p99_ms",
]  # fmt: skip


def test_it_measures_every_row_tells_where_the_time_went_and_cleans_up(stage, tmp_path):
    assert main.run(3, check=False, with_trace=True, folder=tmp_path) == 0
    left = json.loads((tmp_path / "gate.json").read_text())
    assert list(left) == ["conditions", "rows"]
    assert list(left["rows"]) == ROWS
    assert left["conditions"]["tries"] == 3
    for row in ROWS:
        if not row.startswith("admission"):  # a difference of two noisy numbers may be anything
            assert left["rows"][row] > 0, row
    assert left["rows"]["noop_p50_s"] > left["rows"]["plain_rollout_p50_s"]
    assert left["rows"]["noop_max_s"] >= left["rows"]["noop_p50_s"]

    traces = json.loads((tmp_path / "gate-trace.json").read_text())
    for variant, steps in (("noop", ["migrate"]), ("with_backup", ["backup", "migrate"])):
        moments = [(moment["by"], moment["what"]) for moment in traces[variant]["moments"]]
        expected = [("API server", "held: stored, paused"), ("operator", "run stored")]
        for step in steps:
            expected += [("operator", f"{step}: Job created"), ("kubelet", f"{step}: end seen at the API")]
        expected += [("agent", "the fence is held"), ("operator", "verdict stored")]
        expected += [
            ("operator", "gate open: the hold is removed"),
            ("kubelet", "new version: running, seen at the API"),
        ]
        assert [moment for moment in expected if moment not in moments] == [], variant
        assert ("operator", "looked") in moments
    assert "| by | ms |" in (tmp_path / "gate-trace.md").read_text()

    gone = stage.run_unchecked("kubectl", "wait", "--for=delete", f"namespace/{manifests.NAMESPACE}", "--timeout=90s")
    assert gone.returncode == 0, gone.stderr
    level = "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='LOCKTENDER_LOG_LEVEL')].value}"
    told = stage.run("kubectl", "-n", "locktender-system", "get", "deployment/locktender", "-o", level).stdout
    assert told == "INFO"


def test_no_module_is_compiled_when_a_container_starts(stage):
    words = "import asyncio, dataclasses, json, logging, ssl, typing, locktender.runner.agent.marks"
    command = ("exec", "deployment/locktender", "--", "python3", "-v", "-c", words)
    told = stage.run("kubectl", "-n", "locktender-system", *command).stderr.splitlines()
    compiled = [line for line in told if line.startswith("# code object from /") or "bytecode is stale" in line]
    assert any(line.startswith("# code object from '/") for line in told)
    assert [
        line for line in compiled if "sitecustomize" not in line
    ] == []  # Debian's is a link to /etc, and three lines long
