"""The unit tests on each supported Python that this machine has; `--imports` only asks each for its standard library.

The directory operator/ beside the standard library's module of that name must never hide it.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORTED = ("3.11", "3.12", "3.13")
IMPORTS = "import operator; assert operator.itemgetter(0)([7]) == 7, operator"


def interpreter(version: str) -> str | None:
    """A Python of `version` that starts: on PATH, of pyenv, or of uv. None where there is none."""
    homes = (
        Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions",
        Path.home() / ".local/share/uv/python",
    )
    found = [shutil.which(f"python{version}") or ""]
    found += [str(path) for home in homes for path in sorted(home.glob(f"*{version}*/bin/python{version}"))]
    for candidate in found:
        if candidate and subprocess.run((candidate, "-c", ""), capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def main() -> int:
    """0 when every Python of this machine passed; at least one must be there."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.suite.pythons", description=__doc__)
    parser.add_argument("--imports", action="store_true")
    chosen = parser.parse_args()
    present = {version: path for version in SUPPORTED if (path := interpreter(version))}
    if not present:
        print(f"no Python {', '.join(SUPPORTED)} is here", file=sys.stderr)
        return 1
    failed = [
        version for version, path in present.items() if _imports(path) or (not chosen.imports and _units(version, path))
    ]
    missing = [version for version in SUPPORTED if version not in present]
    if missing:
        print(f"not on this machine: Python {', '.join(missing)}")
    if failed:
        print(f"failed on Python {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _imports(path: str) -> int:
    return subprocess.run((path, "-c", IMPORTS), cwd=ROOT, check=False).returncode


def _units(version: str, path: str) -> int:
    print(f"--- unit tests on Python {version}", flush=True)
    project = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(ROOT / "build" / f"venv-{version}"), "UV_PYTHON": path}
    command = ("tools/bootstrap/uv.sh", "run", "--frozen", "--all-extras", "--quiet", "pytest", "tests/unit", "-q")
    return subprocess.run(command, cwd=ROOT, env=project, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
