"""Does what the messages tell a person to do, and nothing else: whoever follows them must get through the gate.

One mend a message. A message that nobody here understands is a hold without a way out, and fails the test that waits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from tests.apiserver.shop import PATIENCE, Shop
from tests.apiserver.truth import KEY, gate_of
from tools.kube import facts

REPEAT = 5.0  # seconds until the same advice is followed again
FINAL = "final"  # the key that mends choose where the message leaves it to the person

Deploy = Callable[..., None]


class WayOut:
    """`deploy(name, key=..., gate=...)` applies a Deployment's manifest with these changes."""

    def __init__(self, shop: Shop, deploy: Deploy, recreate: Callable[[str], None]) -> None:
        self.shop, self.deploy, self.recreate = shop, deploy, recreate
        self._done: dict[tuple[str, str, str], float] = {}

    def follow(self, seconds: float = PATIENCE) -> None:
        """Until everything has converged."""
        end = time.monotonic() + seconds
        while True:
            faults = self.unfinished()
            if not faults:
                return
            assert time.monotonic() < end, "\n".join((f"not within {seconds:.0f} s:", *faults, self.shop.state()))
            for name in {gate_of(item) for item in self.shop.recorder.objects("deployments") if gate_of(item)}:
                self._mend(name)
            self.shop.recorder.since(len(self.shop.recorder.seen), 0.1)

    def unfinished(self) -> list[str]:
        """What has not converged yet."""
        found = []
        for item in self.shop.recorder.objects("deployments"):
            name, gate = item["metadata"]["name"], gate_of(item)
            if not facts.is_rolled_out(item):
                found.append(f"{name} is not rolled out")
            ready = self.shop.ready(gate)
            generation = (self.shop.dbm(gate) or {}).get("metadata", {}).get("generation")
            seen = (self.shop.dbm(gate) or {}).get("status", {}).get("observedGeneration")
            if ready[0] != "True" or generation != seen:
                found.append(f"{gate} is not Ready: {ready}")
        return found

    def _mend(self, gate: str) -> None:
        if self.shop.dbm(gate) is None:  # assert_explained has seen that held Deployments say so
            self._once(gate, "absent", "", lambda: self.recreate(gate))
            return
        value, reason, message = self.shop.ready(gate)
        if value == "False":
            self._once(gate, reason, message, lambda: self._by_advice(gate, message))

    def _once(self, gate: str, reason: str, message: str, mend: Callable[[], None]) -> None:
        last = self._done.get((gate, reason, message), -REPEAT)
        if time.monotonic() - last >= REPEAT:
            self._done[gate, reason, message] = time.monotonic()
            mend()

    def _by_advice(self, gate: str, message: str) -> None:
        tie = re.search(r'Tie it to the release with the annotation locktender.dev/key: "([^"]*)"', message)
        stranger = re.search(r"Deployment (\S+) stays held", message)
        if '"suspend":false' in message:
            self.shop.change(gate, suspend=False)
        if resolve := re.search(r"locktender\.dev/resolve=(\S+=not-ran)", message):
            self.shop.annotate("resolve", resolve[1], gate)
        elif tie and stranger:
            self.deploy(stranger[1], key=tie[1])
        elif "set spec.release, and the annotation" in message and stranger:
            self.shop.change(gate, release=FINAL)
            self.deploy(stranger[1], key=FINAL)
        elif "the same annotation locktender.dev/key" in message or "the same locktender.dev/key" in message:
            if "spec.migration.from.deployment" in message:
                self.shop.change(gate, migration={"from": {"deployment": "web"}})
            for item in self._at(gate):
                self.deploy(item["metadata"]["name"], key=FINAL)
        elif "tie Deployment" in message:
            self.shop.change(gate, release=FINAL)
            for item in self._at(gate):
                self.deploy(item["metadata"]["name"], key=FINAL)
        elif half := re.search(r"locktender.dev/key is '([^']*)', spec.release is still", message):
            self.shop.change(gate, release=half[1])
        elif "no gated Deployment is that" in message:
            self.shop.change(gate, migration={"from": None})
        elif "locktender.dev/retry=" in message:
            self.shop.annotate("retry", str(time.time_ns()), gate)

    def _at(self, gate: str) -> list[dict[str, Any]]:
        return [item for item in self.shop.recorder.objects("deployments") if gate_of(item) == gate]


def key_of(deployment: dict[str, Any]) -> str:
    """The key annotation of a Deployment's template."""
    meta = deployment["spec"]["template"].get("metadata") or {}
    return str((meta.get("annotations") or {}).get(KEY, ""))
