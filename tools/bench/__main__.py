"""`python -m tools.bench gate|locks|all [--tries N] [--check] [--trace] [--major M]`."""

import argparse
import sys

from tools.cluster.settings import ClusterError
from tools.kube.api import ApiError


def main() -> int:
    """Run one bench, or all of them; 1 when one stopped, or when an aim was missed and `--check` was given."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("bench", choices=["gate", "locks", "all"])
    parser.add_argument("--tries", type=int, help="gate: tries of each variant (30); locks: trials in all (100)")
    parser.add_argument(
        "--trace", action="store_true", help="gate: also tell where the time of the median release went (build/bench)"
    )
    parser.add_argument("--major", type=int, help="locks: the server's major version (18)")
    parser.add_argument("--check", action="store_true", help="exit code 1 when an aim is missed")
    chosen = parser.parse_args()
    if chosen.tries is not None and chosen.tries < 1:
        parser.error("--tries takes a number from 1 upwards")
    try:
        return max([_run(name, chosen) for name in ("gate", "locks") if chosen.bench in (name, "all")])
    except (ClusterError, ApiError, AssertionError) as error:
        print(f"\nThe bench stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(name: str, chosen: argparse.Namespace) -> int:
    """One bench; each knows its own number of tries, and imports its own libraries."""
    if name == "gate":
        from tools.bench.gate import main as gate

        return gate.run(chosen.tries or gate.TRIES, check=chosen.check, with_trace=chosen.trace)
    from tools.bench.locks import main as locks

    return locks.run(chosen.tries or locks.TRIES, check=chosen.check, major=chosen.major or locks.MAJOR)


if __name__ == "__main__":
    sys.exit(main())
