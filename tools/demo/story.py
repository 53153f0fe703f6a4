"""Turns what the recorder sees into sentences, each fact once."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.demo.screen import Screen
from tools.kube import facts
from tools.kube.recorder import Seen

Teller = Callable[[dict[str, Any]], None]
DEPLOYMENT = "web"
WAITING = 75  # the exit code of a Job that may come right by itself: its database is not there yet
DOING = {
    "backup": "running: pg_dump, decoded in full while it is written",
    "migrate": "running, alone: it holds the database's fence",
}


@dataclass
class Story:
    """Tells one rollout: that of `version`, while `before` serves (empty on the first install)."""

    screen: Screen
    version: str
    before: str = ""
    replicas: int = 2
    _told: set[str] = field(default_factory=set)
    _ready: set[str] = field(default_factory=set)
    _ours: set[str] = field(default_factory=set)

    def tell(self, event: Seen) -> None:
        """Say what `event` adds."""
        tellers: dict[str, Teller] = {
            "deployments": self._deployment,
            "replicasets": self._replicaset,
            "pods": self._pod,
            "databasebackups": self._backup,
            "databasemigrations": self._migration,
        }
        teller = tellers.get(event.kind)
        if event.type == "ADDED":
            self._ours.add(event.object["metadata"]["uid"])
        # What an earlier release left (its Jobs' pods, say) still changes now and then.
        told = event.kind in {"deployments", "databasemigrations"} or event.object["metadata"]["uid"] in self._ours
        if teller and told and event.type != "DELETED":
            teller(event.object)

    def _once(self, kind: str, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.screen.say(kind, text)

    def _deployment(self, body: dict[str, Any]) -> None:
        if body["metadata"]["name"] != DEPLOYMENT or not facts.image(body).endswith(f":{self.version}"):
            return
        if facts.is_held(body):
            keeps = f"{self.before} keeps serving" if self.before else f"no pod of {self.version} can start"
            self._once("held", f"gate        web is held at {self.version} by the write that changed it; {keeps}")
        elif "gate" in "".join(self._told):
            self._once("good", f"gate        open: web may roll out {self.version}")

    def _replicaset(self, body: dict[str, Any]) -> None:
        if facts.image(body).endswith(f":{self.version}"):
            self._once("plain", f"rollout     first ReplicaSet of {self.version}")

    def _pod(self, body: dict[str, Any]) -> None:
        step = facts.step(body)
        if step:
            self._job_pod(step, body)
        elif facts.image(body).endswith(f":{self.version}") and facts.is_ready(body):
            self._ready.add(body["metadata"]["uid"])
            self._once("good", f"rollout     {len(self._ready)} of {self.replicas} pods of {self.version} ready")

    def _job_pod(self, step: str, body: dict[str, Any]) -> None:
        name = facts.MIGRATE if step == "migrate" else "backup"
        label = f"{'migration' if step == 'migrate' else 'backup':12}"
        end = facts.ended(body, name)
        if end is None:
            if "running" in facts.container(body, name).get("state", {}):
                self._once("plain", label + DOING[step])
        elif end["exitCode"] == WAITING:
            self._once("quiet", f"{label}waits: {json.loads(end.get('message') or '{}').get('message', '')}")
        elif step == "migrate" or end["exitCode"] != 0:
            kind = "good" if end["exitCode"] == 0 else "bad"
            self._once(kind, f"{label}ended with exit code {end['exitCode']}{_applied(end.get('message', ''))}")

    def _backup(self, body: dict[str, Any]) -> None:
        status = body.get("status", {})
        if "sha256" in status:
            size = status["sizeBytes"] / 1000
            shown = f"{size / 1000:.1f} MB" if size >= 1000 else f"{size:.0f} kB"
            tables = status.get("tables", 0)
            self._once(
                "good",
                f"backup      proved: {shown}, {tables} table{'' if tables == 1 else 's'}, decoded in full and read back, sha256 {status['sha256'][:12]}",
            )

    def _migration(self, body: dict[str, Any]) -> None:
        for step in body.get("status", {}).get("run", {}).get("steps", []):
            if step.get("state") == "Waiting" and step.get("message"):
                self._once("quiet", f"waiting     {step['message'].removeprefix('Waiting: ')}")


def _applied(message: str) -> str:
    try:
        said = json.loads(message)
    except ValueError:
        return ""
    names = [name.partition("_")[2].replace("_", " ") for name in said.get("applied", [])]
    return f": {', '.join(names)}" if names else ""
