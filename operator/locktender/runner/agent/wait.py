"""`locktender runner agent-wait`: the agent's postStart hook. Imports no database driver: it is in the way of every migration's start."""

import sys
import time

from locktender.runner.agent import marks
from locktender.runner.settings import EXIT_DONE, EXIT_FAILED, EXIT_TRY_LATER, FENCE_POLL, FENCE_WAIT, duration


def main() -> int:
    """0 when the fence is held; the agent's own code when it gave up; 75 when neither happened within LOCKTENDER_FENCE_WAIT."""
    end = time.monotonic() + _patience()
    while True:
        # Looked for first: an agent that gave up has the last word.
        if (ended := marks.earlier_end()) is not None:
            code, report = ended
            print(f"locktender agent-wait: {report.get('reason')}: {report.get('message')}", file=sys.stderr)
            return code or EXIT_FAILED
        if marks.held().exists():
            return EXIT_DONE
        if time.monotonic() >= end:
            print("locktender agent-wait: the agent does not hold the fence yet; giving up.", file=sys.stderr)
            return EXIT_TRY_LATER
        time.sleep(FENCE_POLL)


def _patience() -> float:
    """The wait in seconds; the operator writes a bare number, people write 60s."""
    import os

    text = os.environ.get("LOCKTENDER_FENCE_WAIT", "")
    try:
        return float(text) if text else FENCE_WAIT
    except ValueError:
        return duration("LOCKTENDER_FENCE_WAIT", FENCE_WAIT)
