"""Runs the parts of `make test` in the order of their price, all of them even when one fails, and sums up."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What a part proves is in the Makefile; the order is: quick answers first, the node last.
PARTS = ("check", "test-unit", "test-packaging", "test-postgres", "test-apiserver", "test-cluster")


def main() -> int:
    """0 when every part passed."""
    results: list[tuple[str, float, int]] = []
    for number, part in enumerate(PARTS, 1):
        print(f"\n=== {number}/{len(PARTS)} make {part}", flush=True)
        begun = time.monotonic()
        code = subprocess.run(("make", part), cwd=ROOT, check=False).returncode
        results.append((part, time.monotonic() - begun, code))
    print("\n=== summary")
    for part, took, code in results:
        print(f"  {'passed' if code == 0 else 'FAILED':8} make {part:16} {took / 60:5.1f} min")
    failed = [part for part, _, code in results if code]
    total = sum(took for _, took, _ in results) / 60
    print(f"  {'FAILED: ' + ', '.join(failed) if failed else 'everything passed'} in {total:.1f} min")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
