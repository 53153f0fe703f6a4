"""Each example is accepted by the API server as it stands; the one-off change is run."""

from pathlib import Path

import pytest

from tests.cluster.kit import manifests

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("[0-9]*.yaml"))


@pytest.fixture(scope="module")
def namespace(stage, worker_id):
    name = f"lt-examples-{worker_id}"  # the module's tests may be spread over processes
    stage.run_unchecked("kubectl", "create", "namespace", name)
    yield name
    stage.run("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_an_example_is_accepted(stage, namespace, file):
    done = stage.run("kubectl", "-n", namespace, "apply", "--dry-run=server", "-f", str(file))
    assert "Warning" not in done.stderr


def test_every_example_is_in_the_table():
    table = (EXAMPLES / "README.md").read_text()
    assert [file.name for file in FILES if f"`{file.name}`" not in table] == []


def test_a_one_off_change_runs_without_a_deployment(a_world):
    world = a_world()
    text = (EXAMPLES / "09-configmap-without-deployment.yaml").read_text()
    text = text.replace("      name: one-off\n  migration", f"      name: {manifests.SECRET}\n  migration")
    text = text.replace("shop-backups", manifests.CLAIM)
    world.stage.run("kubectl", "-n", world.name, "apply", "-f", "-", text=text)
    world.kubectl("wait", "--for=condition=Ready", "dbm/one-off", "--timeout=120s")
    assert world.database.query("SELECT obj_description('public'::regnamespace)") == ["The shop"]
