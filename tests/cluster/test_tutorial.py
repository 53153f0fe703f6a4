"""The shell blocks of the README's tutorial, pasted one after the other into one shell, as its reader does."""

import re
import subprocess
from pathlib import Path

import pytest

from tools.cluster.progress import Progress
from tools.demo import stage as stages

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks():
    text = (ROOT / "README.md").read_text()
    tutorial = text.partition("## Five-minute tutorial")[2].partition("\n## ")[0]
    return BLOCK.findall(tutorial)


@pytest.fixture
def stage_of_the_demo(stage):
    for version in stages.VERSIONS:
        stages.shop(version, Progress(quiet=True))
    stage.run("kubectl", "delete", "namespace", "tutorial", "--ignore-not-found", "--timeout=120s")
    return stage


def test_the_blocks_do_what_the_text_says(stage_of_the_demo):
    assert len(blocks()) == 6
    shell = ["bash", "-euo", "pipefail", "-c"]
    script = "\n".join(f"{block}\necho '=== end of a block'" for block in blocks())
    done = subprocess.run([*shell, script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    said = done.stdout.split("=== end of a block\n")
    assert done.returncode == 0, f"after {len(said) - 1} blocks: {said[-1]}\n{done.stderr}"
    installed, released, failed = said[1], said[2], said[3]
    assert "successfully rolled out" in installed
    assert "databasebackup.locktender.dev/" in installed
    assert "successfully rolled out" in released
    assert "20260318110000_unique_email" in failed
    assert "localhost/shop:v2" in failed
    assert "localhost/shop:v3" not in failed.partition("POD")[2]
    assert "successfully rolled out" in said[4]
