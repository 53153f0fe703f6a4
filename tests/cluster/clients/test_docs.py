"""The manifests in docs/clients are accepted by the API server as they stand; the pieces of a chart are those of examples/helm."""

import re
from pathlib import Path

import pytest

from tests.cluster.clients.helm import CHART

DOCS = Path(__file__).resolve().parents[3] / "docs" / "clients"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(page.name, block) for page in sorted(DOCS.glob("*.md")) for block in BLOCK.findall(page.read_text())]


@pytest.fixture(scope="module")
def namespace(stage):
    name = "lt-client-docs"
    stage.run_unchecked("kubectl", "create", "namespace", name)
    yield name
    stage.run("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize(("page", "block"), [pair for pair in BLOCKS if "{{" not in pair[1]])
def test_a_manifest_is_accepted(stage, namespace, page, block):
    text = re.sub(r"^  namespace: .*$", f"  namespace: {namespace}", block, flags=re.MULTILINE)
    done = stage.run("kubectl", "-n", namespace, "apply", "--dry-run=server", "-f", "-", text=text)
    assert "Warning" not in done.stderr


def test_a_piece_of_a_chart_is_that_of_the_example():
    pieces = [block for _, block in BLOCKS if "{{" in block]
    assert len(pieces) == 1
    assert [
        line for line in pieces[0].splitlines() if line not in (CHART / "templates" / "migration.yaml").read_text()
    ] == []
