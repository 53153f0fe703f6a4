"""What a migration waits for before it may start: the modules that the agent and its hook import. Counted, because time is not the same twice."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "operator"
FAREWELL = """
import atexit, json, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules))))
from locktender.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def imported(*command: str) -> list[str]:
    """The modules that are loaded when `locktender COMMAND` ends; without a database it ends soon."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "LOCKTENDER_FENCE_WAIT": "0.01"}
    done = subprocess.run(
        [sys.executable, "-c", FAREWELL, *command], env=environment, capture_output=True, text=True, check=False
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def test_the_hook_imports_next_to_nothing() -> None:
    modules = imported("runner", "agent-wait")
    assert "locktender.runner.agent.wait" in modules
    assert not {"psycopg", "argparse", "asyncio", "subprocess", "logging"} & set(modules)
    assert len(modules) <= 105, "measured 92 on Python 3.11; every module here is in the way of every migration"


@pytest.mark.parametrize(
    "unwanted", ["argparse", "kopf", "kubernetes", "prometheus_client", "yaml", "zstandard", "aiohttp"]
)
def test_the_agent_imports_a_database_driver_and_no_more_libraries(unwanted: str) -> None:
    assert unwanted not in imported("runner", "agent")


def test_the_agent_loads_no_other_program_of_the_runner() -> None:
    modules = imported("runner", "agent")
    ours = {name.split(".")[2] for name in modules if name.startswith("locktender.runner.")}
    assert ours == {"agent", "connect", "errors", "journal", "ledger", "main", "redact", "settings", "termination"}
    assert "psycopg" in modules
    assert len(modules) <= 340, "measured 310 on Python 3.11, most of them the driver's"
