"""The cluster tests: what may run side by side does; what stops the operator, removes it, or starts a node of its own comes after."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from tools.cluster import provider
from tools.cluster.progress import Progress
from tools.cluster.settings import ClusterError, Settings

ROOT = Path(__file__).resolve().parents[2]
TESTS = "tests/cluster"
ALONE = (
    "test_bench.py",
    "test_operator_killed.py",
    "test_reports.py",
    "test_gate_guard.py",
    "test_gate_carriers.py",
    "test_uninstall.py",
    "test_node.py",
)
RUN = ("tools/bootstrap/uv.sh", "run", "--frozen", "--all-extras")


def main() -> int:
    """0 when every phase passed."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.suite.cluster", description=__doc__)
    parser.add_argument("--workers", type=int, default=4)
    chosen = parser.parse_args()
    try:
        provider.up(Settings.from_environment(), Progress())
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    if subprocess.run((*RUN, "python", "-m", "tests.cluster.kit.prepare"), cwd=ROOT, check=False).returncode:
        return 1
    ignored = [f"--ignore={TESTS}/{name}" for name in ALONE]
    phases = [(TESTS, *ignored, "-n", str(chosen.workers))]
    phases += [(f"{TESTS}/{name}",) for name in ALONE if (ROOT / TESTS / name).exists()]
    failed = []
    for phase in phases:
        begun = time.monotonic()
        print(f"--- pytest {' '.join(phase)}", flush=True)
        code = subprocess.run(
            (*RUN, "pytest", "-q", "--tb=short", "--durations=5", *phase), cwd=ROOT, check=False
        ).returncode
        print(f"--- {'failed' if code else 'passed'} after {time.monotonic() - begun:.0f} s", flush=True)
        if code:
            failed.append(phase[0])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
