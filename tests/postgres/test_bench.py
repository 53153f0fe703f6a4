"""The bench of locks works, in its shortest form, and leaves what it promises; how good its numbers are is for a quiet machine to say."""

import json

from tools.bench.locks import main, scenarios


def test_its_plan_is_fair_and_the_same_each_time():
    planned = main.plan(main.TRIES)
    assert len(planned) == main.TRIES
    assert planned == main.plan(main.TRIES)
    for scenario in scenarios.ALL:
        mine = [(budget, compared) for one, budget, compared in planned if one is scenario]
        assert len(mine) in (main.TRIES // len(scenarios.ALL), main.TRIES // len(scenarios.ALL) + 1)
        assert {compared for budget, compared in mine if budget == main.DEFAULT_BUDGET} >= {True}
        assert {compared for budget, compared in mine if budget == main.SHORT_BUDGET} == {True, False}


def test_it_leaves_its_rows_and_its_conditions(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "ORDERS", 20_000)
    assert main.run(1, check=False, folder=tmp_path) == 0
    left = json.loads((tmp_path / "locks.json").read_text())
    assert {
        "trials",
        "worst_stall_ms",
        "budget_ms",
        "worst_stall_without_agent_ms",
        "agent_server_cpu_percent",
    } <= left["rows"].keys()
    assert left["rows"]["trials"] == 1
    assert left["conditions"]["server"].startswith("PostgreSQL 18.")
