"""Argo CD's health scripts and actions: run by its own Lua engine, spelled as the operator spells its reasons, rendered for argocd-cm."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from locktender.api.conditions import Reason
from locktender.settings import ANNOTATION_RESOLVE, ANNOTATION_RETRY
from tools.cluster import golang
from tools.cluster.progress import Progress
from tools.render import argocd

pytestmark = pytest.mark.packaging
CHECKER = golang.Stage("argocd-lua", str(Path(golang.__file__).parents[1] / "checks" / "argocd"), (".",), 10)
KIND = argocd.SCRIPTS / "locktender.dev" / "DatabaseMigration"


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    program = golang.built((CHECKER,), Progress(quiet=True))["argocd-lua"]
    return subprocess.run([program, folder], capture_output=True, text=True, check=False)


def test_every_example_gets_the_health_and_the_actions_that_its_test_says() -> None:
    done = run(argocd.SCRIPTS)
    assert done.returncode == 0, done.stdout + done.stderr
    examples = [path for path in argocd.SCRIPTS.rglob("testdata/*.yaml") if "actions" not in path.parts]
    assert done.stdout.count(f"ok {argocd.SCRIPTS}") == len(examples) > 10


def test_a_script_that_says_something_else_is_found(tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", KIND.parent, tmp_path / "locktender.dev"], check=True)
    script = tmp_path / "locktender.dev" / "DatabaseMigration" / "health.lua"
    script.write_text(script.read_text().replace('"Degraded"', '"Healthy"'))
    done = run(tmp_path)
    assert done.returncode == 1
    assert "testdata/failed.yaml" in done.stdout.partition("FAILED")[2].splitlines()[0]


def test_the_scripts_name_reasons_and_annotations_that_exist() -> None:
    scripts = "".join(path.read_text() for path in KIND.rglob("*.lua"))
    assert set(re.findall(r'eason == "(\w+)"', scripts)) <= set(Reason)
    assert set(re.findall(r'annotations\["([^"]+)"\]', scripts)) == {ANNOTATION_RETRY, ANNOTATION_RESOLVE}


def test_the_piece_of_argocd_cm_holds_the_same_scripts() -> None:
    (text,) = argocd.files().values()
    data = yaml.safe_load(text)["data"]
    assert data["resource.customizations.health.locktender.dev_DatabaseMigration"] == (KIND / "health.lua").read_text()
    actions = yaml.safe_load(data["resource.customizations.actions.locktender.dev_DatabaseMigration"])
    assert actions["discovery.lua"] == (KIND / "actions" / "discovery.lua").read_text()
    assert {item["name"]: item["action.lua"] for item in actions["definitions"]} == {
        path.parent.name: path.read_text() for path in (KIND / "actions").glob("*/action.lua")
    }
