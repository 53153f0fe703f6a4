"""A real migration that waits, holds a lock and makes others wait: seen in the metrics while it runs, told in its report afterwards.

The operator is killed in the middle. The report is compared with the agent's own log, line by line.
"""

import json
import re
import subprocess
import sys
import threading
import time

from locktender.core.timeline import Timeline
from tests.cluster.kit import databases
from tests.cluster.kit.manifests import MIGRATION, migration

SYSTEM = "locktender-system"
# One transaction: the lock is taken behind a report that runs, and kept while a reader waits.
MIGRATE = "ALTER TABLE items ADD COLUMN note text;\nSELECT pg_sleep(32);\n"
PATIENT = {"budget": "60s", "maxWait": "60s", "statementTimeout": "60s", "timeout": "20s"}


class Session(threading.Thread):
    """A session of the application: one statement, in a thread."""

    def __init__(self, world, application, sql):
        super().__init__(daemon=True)
        self.world, self.application, self.sql = world, application, sql
        self.start()

    def run(self):
        """As the application's own role: of another's sessions PostgreSQL shows no query."""
        database = self.world.database
        url = database.url.replace(database.host, "127.0.0.1")
        self.world.stage.run(
            "kubectl", "-n", databases.NAMESPACE, "exec", "-i", f"deploy/pg{database.major}", "--", "psql", "-Xq", url,
            text=f"SET application_name = '{self.application}';\n{self.sql};",
        )  # fmt: skip


def operator_pods(world):
    """The names of the pods that run."""
    found = json.loads(
        world.stage.run(
            "kubectl", "-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/component=operator", "-o", "json"
        ).stdout
    )
    return [item["metadata"]["name"] for item in found["items"] if not item["metadata"].get("deletionTimestamp")]


def series(world, pods):
    """The series about this migration's locks, of whichever pod leads."""
    found = {}
    for pod in pods:
        raw = f"/api/v1/namespaces/{SYSTEM}/pods/{pod}:8080/proxy/metrics"
        text = world.stage.run_unchecked("kubectl", "get", "--raw", raw).stdout
        for name, labels, value in re.findall(r"^(locktender_\w+)\{(.*)\} (\S+)$", text, re.MULTILINE):
            if f'migration="{MIGRATION}",' in f"{labels}," and f'namespace="{world.name}"' in labels:
                found[name] = float(value)
    return found


def until_shown(world, condition, what, seconds):
    """The series once they fit; polled, as Prometheus does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        pods = operator_pods(world)
        shown = series(world, pods)
        if condition(shown):
            return pods, shown
        time.sleep(0.5)
    raise AssertionError(f"{what} not within {seconds} s; last: {shown}\n{world.state()}")


def test_a_migration_is_seen_in_the_metrics_and_told_in_a_report_although_the_operator_is_killed(a_world):
    world = a_world()
    role = world.database.name
    world.database.query(f'CREATE TABLE items (id int); ALTER TABLE items OWNER TO "{role}"')
    report = Session(world, "nightly report", "BEGIN; SELECT count(*) FROM items; SELECT pg_sleep(12); COMMIT")
    files = {"20260101000000_note.up.sql": MIGRATE, "20260101000000_note.down.sql": "SELECT 1;"}
    world.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": files},
        migration(
            migration={"configMapRef": {"name": "files"}},
            backup={"policy": "Skip", "reason": "a test"},
            locks=PATIENT,
        ),
    )
    holds = "SELECT 1 FROM pg_locks WHERE relation = 'items'::regclass AND mode = 'AccessExclusiveLock'"
    world.wait(lambda: world.database.query(holds), "the migration asks for its lock")
    reader = Session(world, "shop web", "SELECT count(*) FROM items")

    before, shown = until_shown(
        world, lambda seen: seen.get("locktender_blocked_sessions", 0) >= 1, "a blocked session", 30
    )
    assert shown["locktender_longest_wait_seconds"] > 0
    world.stage.run("kubectl", "-n", SYSTEM, "delete", "pods", "-l", "app.kubernetes.io/component=operator",
                    "--grace-period=0", "--force", "--wait=false")  # fmt: skip
    after, again = until_shown(
        world, lambda seen: seen.get("locktender_blocked_sessions", 0) >= 1, "a blocked session, in a new pod", 60
    )
    assert not set(before) & set(after)
    assert again["locktender_blocked_seconds_total"] >= shown["locktender_blocked_seconds_total"]
    assert again["locktender_blocked_seconds_total"] <= again["locktender_longest_wait_seconds"] * 1.5, "counted once"

    def step():
        steps = (world.dbm or {}).get("status", {}).get("run", {}).get("steps", [])
        return next((found for found in steps if found["name"] == "Migrate" and found.get("report")), None)

    found = world.wait(step, "the report's name in the status", 90)
    report.join(30)
    reader.join(30)
    stored = json.loads(world.kubectl("get", "dmr", found["report"], "-o", "json"))
    pod = world.kubectl("get", "pods", "-l", f"job-name={found['job']}", "-o", "jsonpath={.items[0].metadata.name}")
    timeline = Timeline()
    for line in world.kubectl("logs", pod, "-c", "agent", "--timestamps").splitlines():
        timeline.add(line)
    told = stored["report"]
    assert told == timeline.content(), "no line is lost, none is there twice"
    assert told["complete"] is True
    assert ("AccessExclusiveLock", "public.items") in [(hold["mode"], hold["relation"]) for hold in told["holds"]]
    (wait,) = [wait for wait in told["waits"] if wait["application"] == "shop web"]
    assert (wait["relation"], wait["query"]) == ("public.items", "SELECT count(*) FROM items;")
    blockers = {blocker["application"] for own in told["blocked"] for blocker in own["blockers"]}
    assert blockers == {"nightly report"}
    _, gone = until_shown(world, lambda seen: "locktender_blocked_sessions" not in seen, "no gauge after the end", 30)
    assert gone["locktender_blocked_seconds_total"] >= again["locktender_blocked_seconds_total"]

    environment = {"KUBECONFIG": str(world.stage.kubeconfig), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "locktender", "report", MIGRATION, "-n", world.name, "-o", "html"]
    page = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert "behind" in page
    assert "nightly report" in page
