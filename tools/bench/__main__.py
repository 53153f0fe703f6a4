"""`python3 -m tools.bench gate [--tries N] [--check] [--trace]`."""

import argparse
import sys

from tools.bench.gate import main as gate
from tools.cluster.settings import ClusterError
from tools.kube.api import ApiError


def main() -> int:
    """Run one bench, or all of them; 1 when it stopped, or when an aim was missed and `--check` was given."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.bench", description=__doc__)
    parser.add_argument("bench", choices=["gate", "all"])
    parser.add_argument("--tries", type=int, default=gate.TRIES, help=f"tries of each variant (default {gate.TRIES})")
    parser.add_argument(
        "--trace", action="store_true", help="also tell where the time of the median release went (build/bench)"
    )
    parser.add_argument("--check", action="store_true", help="exit code 1 when an aim is missed")
    chosen = parser.parse_args()
    if chosen.tries < 1:
        parser.error("--tries takes a number from 1 upwards")
    try:
        return gate.run(chosen.tries, check=chosen.check, with_trace=chosen.trace)
    except (ClusterError, ApiError, AssertionError) as error:
        print(f"\nThe bench stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
