"""The operator is killed at every transition of a run: the run ends well all the same, with one backup and one migration.

Both pods are killed each time without grace, so neither a clean shutdown nor a waiting replica helps.
"""

import threading

from tests.cluster.kit.manifests import deployment, migration
from tools.kube import facts

SYSTEM = "locktender-system"


class Executioner:
    """Kills every operator pod once for each transition that is seen."""

    def __init__(self, world):
        self.world = world
        self.transitions = []
        self.kills = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(timeout=60)

    def _watch(self):
        position = 0
        while not self._stop.is_set():
            fresh = self.world.recorder.since(position, 0.5)
            position += len(fresh)
            for event in fresh:
                for transition in self._transitions(event):
                    if transition not in self.transitions:
                        self.transitions.append(transition)
                        self._kill()

    def _transitions(self, event):
        body = event.object
        if event.kind == "jobs" and event.type == "ADDED":
            yield f"Job {facts.step(body)} created"
        if event.kind == "pods" and facts.step(body) and facts.ended(body, facts.step(body)):
            yield f"container {facts.step(body)} ended"
        if event.kind == "databasebackups":
            yield "DatabaseBackup recorded"
        if event.kind == "databasemigrations":
            for step in body.get("status", {}).get("run", {}).get("steps", []):
                yield f"status {step['name']} {step['state']}"

    def _kill(self):
        self.world.stage.run("kubectl", "-n", SYSTEM, "delete", "pods", "-l", "app.kubernetes.io/name=locktender",
                             "--grace-period=0", "--force", "--wait=false")  # fmt: skip
        self.kills += 1


def test_killed_at_every_transition_it_still_runs_one_backup_and_one_migration(a_world):
    world = a_world()
    with Executioner(world) as executioner:
        world.apply(migration(), deployment("one"))
        world.wait(
            lambda: world.deployment().get("spec", {}).get("paused") is None and world.jobs("migrate"), "released", 400
        )
        world.wait_rolled_out("one")
    world.stage.run("kubectl", "-n", SYSTEM, "rollout", "status", "deployment/locktender", "--timeout=120s")
    world.wait_condition("Ready", "True")
    world.never_too_early("one")
    assert len(world.jobs("backup")) == 1
    assert len(world.jobs("migrate")) == 1
    assert len(world.migrations_started()) == 1
    assert executioner.kills >= 5, executioner.transitions
    assert world.database.query("SELECT count(*) FROM items") == ["3"]
