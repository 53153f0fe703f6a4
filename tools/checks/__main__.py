"""`python3 -m tools.checks`: actionlint over the workflows, built once from its pinned Go module."""

import subprocess
import sys
from pathlib import Path

from tools.cluster import golang
from tools.cluster.progress import Progress
from tools.cluster.settings import ClusterError

ROOT = Path(__file__).resolve().parents[2]
MODULE = str(Path(__file__).parent / "actionlint")
ACTIONLINT = golang.Stage("actionlint", MODULE, ("github.com/rhysd/actionlint/cmd/actionlint",), 20)


def main() -> int:
    """The exit code of actionlint."""
    try:
        program = golang.built((ACTIONLINT,), Progress())["actionlint"]
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    workflows = sorted(str(path) for path in (ROOT / ".github" / "workflows").glob("*.y*ml"))
    if not workflows:
        print("there are no workflows under .github/workflows", file=sys.stderr)
        return 1
    return subprocess.run((program, *workflows), cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
