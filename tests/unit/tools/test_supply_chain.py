"""Everything that comes from outside is pinned by its hash, and listed."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.sbom import __main__ as lists

ROOT = Path(__file__).parents[3]


def locked() -> dict[str, dict[str, Any]]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {package["name"]: package for package in packages if "registry" in package["source"]}


def test_every_locked_package_has_the_hash_of_each_of_its_files() -> None:
    files = [
        (name, file)
        for name, package in locked().items()
        for file in (*package.get("wheels", ()), *filter(None, [package.get("sdist")]))
    ]
    assert len(files) > len(locked())
    assert [name for name, file in files if not re.fullmatch(r"sha256:[0-9a-f]{64}", file.get("hash", ""))] == []


def test_the_images_install_by_hash_what_is_locked_and_nothing_else() -> None:
    installs = re.findall(r"uv pip install [^\n]*", (ROOT / "Dockerfile").read_text())
    assert installs
    assert all("--require-hashes" in line for line in installs)
    exports = re.findall(r"uv export [^\n]*", (ROOT / "Dockerfile").read_text())
    assert len(exports) == len(installs)
    assert all("--frozen" in line for line in exports)


@pytest.mark.parametrize("file", sorted((ROOT / ".github" / "workflows").glob("*.y*ml")), ids=lambda file: file.name)
def test_every_action_is_pinned_by_its_commit(file: Path) -> None:
    jobs = yaml.safe_load(file.read_text())["jobs"]
    uses = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert uses
    assert [name for name in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []


def test_every_go_module_has_its_sums() -> None:
    modules = list((ROOT / "tools").rglob("go.mod"))
    assert modules
    assert [str(module) for module in modules if not (module.parent / "go.sum").is_file()] == []


def test_the_lists_hold_what_each_image_installs_with_the_hashes_of_the_lock_file(tmp_path: Path) -> None:
    known = locked()
    for file in lists.write(tmp_path):
        listed = json.loads(file.read_text())
        assert (listed["bomFormat"], listed["metadata"]["component"]["name"]) == ("CycloneDX", "locktender")
        components = {component["name"]: component for component in listed["components"]}
        extra = lists.IMAGES[file.name.removesuffix(".cdx.json")]
        direct = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][extra]
        assert {re.split(r"[\[><=]", name)[0] for name in direct} <= set(components)
        for name, component in components.items():
            assert component["version"] == known[name]["version"]
            assert component["purl"].startswith(f"pkg:pypi/{name}@{component['version']}")
            hashes = {item["content"] for where in component["externalReferences"] for item in where["hashes"]}
            assert hashes & {wheel["hash"].removeprefix("sha256:") for wheel in known[name]["wheels"]}
    operator = json.loads((tmp_path / "operator.cdx.json").read_text())
    assert not {"psycopg", "psycopg-binary"} & {component["name"] for component in operator["components"]}
