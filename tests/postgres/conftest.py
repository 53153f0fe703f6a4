import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres.programs import end_all
from tests.postgres.servers import MAJORS, serving
from tools.cluster.postgres_binaries import install

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.postgres)


@pytest.fixture(scope="session")
def servers():
    """A function from major to running server; each is started when first asked for."""
    running = {}
    with ExitStack() as stack:

        def of(major):
            if major not in running:
                running[major] = stack.enter_context(serving(major))
            return running[major]

        yield of


@pytest.fixture(params=MAJORS, ids=lambda major: f"pg{major}")
def server(request, servers):
    """A server of each major in turn."""
    return servers(request.param)


@pytest.fixture
def newest(servers):
    """A server of the newest major, for what does not depend on it."""
    return servers(MAJORS[-1])


@pytest.fixture(scope="session")
def client_root(tmp_path_factory):
    """Client programs in the layout of the runner image."""
    root = tmp_path_factory.mktemp("clients")
    for major in MAJORS:
        (root / str(major)).symlink_to(install(major))
    return root


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """No PG* or LOCKTENDER_* variable of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith(("PG", "LOCKTENDER_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_process_stays():
    yield
    end_all()
