"""`python3 -m tools.demo run|clean`."""

import argparse
import sys
from pathlib import Path

from tools.cluster import provider
from tools.cluster.progress import Progress
from tools.cluster.settings import ClusterError, Settings
from tools.demo import acts
from tools.demo.screen import Screen
from tools.kube.api import ApiError


def main() -> int:
    """Run the demo or remove it; exit code 1 when a promise did not hold."""
    parser = argparse.ArgumentParser(prog="python3 -m tools.demo", description=__doc__)
    parser.add_argument("verb", choices=["run", "clean"])
    parser.add_argument("--transcript", type=Path, help="write what was told there too, one JSON line each")
    chosen = parser.parse_args()
    try:
        if chosen.verb == "clean":
            provider.down(Settings.from_environment(), Progress())
            return 0
        with Screen(chosen.transcript) as screen:
            return acts.run(screen)
    except (ClusterError, ApiError, AssertionError) as error:
        print(f"\nThe demo stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
