"""The benches' arithmetic, and what is read out of logs and records."""

import json
from pathlib import Path

import pytest

from tools.bench import numbers
from tools.bench.gate import containerd, trace
from tools.bench.gate.admission import Admission
from tools.bench.gate.sightings import Moment, Sightings
from tools.bench.report import Aim, Result
from tools.kube.recorder import Seen


def test_a_percentile_is_a_value_that_was_observed() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [numbers.percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert numbers.percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_a_difference_is_the_shift_of_the_percentile() -> None:
    without = [float(n) for n in range(100)]
    assert numbers.difference([value + 2.0 for value in without], without, 0.99) == 2.0


def test_an_interval_is_wide_where_few_disturbances_decide() -> None:
    """Two of a hundred values are slow, so the 99th percentile is slow: as a rule where they are spread, by luck where they are four bursts."""
    without = [1.0] * 10_000
    spread = [11.0 if n % 50 == 0 else 1.0 for n in range(10_000)]
    bursts = [11.0 if n % 2500 < 50 else 1.0 for n in range(10_000)]
    assert numbers.difference(spread, without, 0.99) == numbers.difference(bursts, without, 0.99) == 10.0
    assert numbers.interval(spread, without, 0.99) == (10.0, 10.0)
    assert numbers.interval(bursts, without, 0.99) == (0.0, 10.0)


def test_what_hits_both_of_a_pair_alike_makes_no_interval_wide() -> None:
    without = [9.0 if n % 250 < 5 else 1.0 for n in range(1000)]
    assert numbers.interval([value + 2.0 for value in without], without, 0.99) == (2.0, 2.0)


def test_beside_what_admission_adds_stands_how_sure_it_is() -> None:
    asked = Admission(gated=[0.003, 0.004, 0.005], ungated=[0.002, 0.002, 0.002], collections=1)
    assert asked.rows() == pytest.approx(
        {
            "admission_added_p50_ms": 2.0,
            "admission_added_p99_ms": 3.0,
            "admission_added_p99_low_ms": 3.0,
            "admission_added_p99_high_ms": 3.0,
        }
    )
    assert asked.conditions()["admission_garbage_collections"] == "1 in the API server meanwhile"


def test_an_aim_is_missed_by_more_than_its_most_and_by_no_number() -> None:
    aims = (Aim("a_s", 1.0), Aim("b_s", 1.0), Aim("c_s", 1.0))
    result = Result("x", {}, {"a_s": 1.0, "b_s": 1.001, "c_s": float("nan")}, aims)
    assert [aim.row for aim in result.missed()] == ["b_s", "c_s"]


def test_the_file_and_the_table_tell_the_same(tmp_path: Path) -> None:
    result = Result("x", {"nodes": 1}, {"noop_p50_s": 2.0, "p99_ms": 7.0}, (Aim("noop_p50_s", 2.5), Aim("p99_ms", 5.0)))
    assert json.loads(result.write(tmp_path).read_text()) == {
        "conditions": {"nodes": 1},
        "rows": {"noop_p50_s": 2.0, "p99_ms": 7.0},
    }
    lines: list[str] = []
    result.tell(lines.append, {"Helm hook": 4.0})
    assert lines[-2].split() == ["noop_p50_s", "2.000", "<=", "2.5", "0.50", "met"]
    assert lines[-1].split() == ["p99_ms", "7.000", "<=", "5", "MISSED"]


CONTAINERD = r"""
time="2026-11-24T22:51:41.825259734Z" level=info msg="RunPodSandbox for name:\"other\"  uid:\"1\"  namespace:\"n\""
time="2026-11-24T22:51:41.900000000Z" level=info msg="RunPodSandbox for name:\"pod\"  uid:\"2\"  namespace:\"n\""
time="2026-11-24T22:51:42.000000000Z" level=info msg="RunPodSandbox for name:\"pod\"  uid:\"2\"  namespace:\"n\" returns sandbox id \"4d0c\""
time="2026-11-24T22:51:42.100000000Z" level=info msg="CreateContainer within sandbox \"4d0c\" for container name:\"agent\""
time="2026-11-24T22:51:42.200000000Z" level=info msg="CreateContainer within sandbox \"4d0c\" for name:\"agent\" returns container id \"4196\""
time="2026-11-24T22:51:42.250000000Z" level=info msg="StartContainer for \"9999\" returns successfully"
time="2026-11-24T22:51:42.300000000Z" level=info msg="StartContainer for \"4196\" returns successfully"
time="2026-11-24T22:51:43.195438788Z" level=info msg="received container exit event container_id:\"4196\"  id:\"4196\"  pid:28786  exited_at:{seconds:1795560703  nanos:194931365}"
"""


def test_containerd_tells_when_a_pod_really_began_and_ended(tmp_path: Path) -> None:
    log = tmp_path / "containerd.log"
    log.write_text(CONTAINERD)
    begun = containerd.timestamp("2026-11-24T22:51:41.900000000Z")
    assert [(round(mark.at - begun, 3), mark.what) for mark in containerd.marks(log, "pod")] == [
        (0.0, "sandbox asked for"),
        (0.1, "sandbox ready: namespaces, network"),
        (0.2, "container agent asked for"),
        (0.4, "container agent started"),
        (1.295, "container agent ended"),
    ]
    assert containerd.marks(tmp_path / "absent.log", "pod") == []


def test_each_milestone_is_told_once_with_the_one_who_brought_it_about() -> None:
    template = {
        "metadata": {"annotations": {"locktender.dev/key": "r7"}},
        "spec": {"containers": [{"name": "app", "image": "i"}]},
    }
    held = {
        "metadata": {"name": "gated", "annotations": {"locktender.dev/held": "true"}},
        "spec": {"paused": True, "template": template},
    }
    opened = {"metadata": {"name": "gated", "annotations": {}}, "spec": {"template": template}}
    run = {"release": "r7", "steps": [{"name": "Migrate", "state": "Succeeded"}]}
    stored = {"metadata": {"name": "empty"}, "status": {"run": run}}
    other = {"metadata": {"name": "empty"}, "status": {"run": {**run, "release": "r6"}}}
    record = [
        Seen("deployments", "MODIFIED", 1, 0.1, held),
        Seen("deployments", "MODIFIED", 2, 0.2, held),
        Seen("databasemigrations", "MODIFIED", 3, 0.3, other),
        Seen("databasemigrations", "MODIFIED", 4, 0.4, stored),
        Seen("deployments", "MODIFIED", 5, 0.5, opened),
    ]
    assert Sightings(record, "gated", "empty", "r7").moments() == [
        Moment(0.1, "API server", "held: stored, paused"),
        Moment(0.4, "operator", "run stored"),
        Moment(0.4, "operator", "verdict stored"),
        Moment(0.5, "operator", "gate open: the hold is removed"),
    ]


def test_time_counts_for_the_one_who_brought_the_next_moment_about() -> None:
    moments = [
        Moment(0.1, "API server", "held"),
        Moment(0.2, "operator", "looked", aside=True),
        Moment(0.4, "operator", "run stored"),
        Moment(1.0, "kubelet", "running"),
    ]
    assert trace.shares(moments) == pytest.approx({"kubelet": 0.6, "operator": 0.3, "API server": 0.1})
    assert "| 200 |  | operator | (looked) |" in trace.markdown("noop", 1.0, moments)
