import re
from pathlib import Path

import pytest

from tests.cluster.kit import prepare
from tests.cluster.kit.world import world
from tools.kube.api import Api

CLUSTER = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(CLUSTER) and item.path.name != "test_node.py":
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def stage():
    where = prepare.connected()
    where.run("kubectl", "-n", "locktender-system", "rollout", "status", "deployment/locktender", "--timeout=60s")
    return where


@pytest.fixture(scope="session")
def api(stage):
    with Api(stage.kubeconfig, stage.kubectl) as api:
        yield api


@pytest.fixture
def a_world(stage, api, request):
    """The maker of a test's namespace; keyword arguments as for `world`. Undone when the test ends."""
    opened = []

    def make(suffix="", **wanted):
        test = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower())
        name = f"lt-{test}"[:50].strip("-") + (f"-{suffix}" if suffix else "")
        context = world(stage, api, name, **wanted)
        opened.append(context)
        return context.__enter__()

    yield make
    for context in reversed(opened):
        context.__exit__(None, None, None)
