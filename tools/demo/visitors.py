"""Three visitors a second: what the application answers, whatever else goes on."""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from tools.kube.api import Api

INTERVAL = 1 / 3  # seconds between requests


@dataclass(frozen=True)
class Answer:
    """One request: the version that answered, empty when none did."""

    at: float
    version: str
    problem: str = ""


@dataclass
class Visitors:
    """A context manager: visits go on from its entry to its end, through the API server's way to a Service."""

    api: Api
    namespace: str
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=5)

    def since(self, moment: float) -> Counter[str]:
        """How often each version answered after `moment`; the empty version stands for no answer."""
        return Counter(answer.version for answer in list(self.answers) if answer.at >= moment)

    def told(self, moment: float) -> str:
        """The same in words."""
        counted = self.since(moment)
        parts = [f"{number} answered by {version}" for version, number in sorted(counted.items()) if version]
        if counted[""]:
            parts.append(f"{counted['']} without an answer")
        return ", ".join(parts) or "no request yet"

    def _visit(self) -> None:
        path = f"/api/v1/namespaces/{self.namespace}/services/web:80/proxy/"
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += INTERVAL
            at = time.monotonic()
            try:
                status, data = self.api.answer("GET", path)
                version = str(json.loads(data)["version"]) if status == 200 else ""
                problem = "" if version else f"status {status}"
            except (OSError, ValueError, KeyError) as error:
                version, problem = "", str(error)
            self.answers.append(Answer(at, version, problem))
