"""The demo from the first line to the last: the stage, v1 arrives, v2 is held and let through, v3 is held back."""

import secrets
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tools.demo import promises, stage
from tools.demo.promises import Promises
from tools.demo.screen import Screen
from tools.demo.stage import SHOP, ScreenProgress, Stage
from tools.demo.story import Story
from tools.demo.visitors import Visitors
from tools.kube import facts
from tools.kube.api import Api
from tools.kube.recorder import Recorder

NAMESPACE = "shop"
ROLLOUT_SECONDS = 180.0
FAILURE_SECONDS = 120.0
WATCHING_SECONDS = 3.0  # how long the old version is watched after a failure: about ten requests


def run(screen: Screen) -> int:
    """The whole demo; 0 when every promise held."""
    screen.text("Locktender: a release waits until its database was backed up and migrated.", "title")
    where = prepare(screen)
    with Api(where.kubeconfig, where.kubectl) as api:
        _empty(screen, where, api)
        with Recorder(api, NAMESPACE) as recorder, Visitors(api, NAMESPACE) as visitors:
            theatre = Theatre(screen, where, recorder, visitors)
            theatre.first_install()
            theatre.release()
            theatre.failing_release()
    return _summary(theatre)


def prepare(screen: Screen) -> Stage:
    """Node, images, chart."""
    screen.title("1  A Kubernetes node, images, Locktender")
    progress = ScreenProgress(screen=screen)
    with screen.working("starting the node"):
        where = stage.cluster(progress)
    with screen.working("building images"):
        key = stage.project(progress)
        stage.postgres(18, progress)
        for version in stage.VERSIONS:
            stage.shop(version, progress)
    with screen.working("installing the chart"):
        stage.install(where, key)
    screen.say("good", f"Locktender is installed from charts/locktender (namespace {stage.SYSTEM})")
    return where


def _empty(screen: Screen, where: Stage, api: Api) -> None:
    """A fresh namespace: what an earlier demo left goes first."""
    if api.get(f"/api/v1/namespaces/{NAMESPACE}"):
        with screen.working("removing the shop of the demo before"):
            where.run("kubectl", "delete", "namespace", NAMESPACE, "--timeout=120s")
    stage.recycle_volumes()
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}})


@dataclass
class Theatre:
    """What every act needs."""

    screen: Screen
    where: Stage
    recorder: Recorder
    visitors: Visitors
    kept: Promises = field(default_factory=Promises)

    def first_install(self) -> None:
        """Everything in one apply, in whatever order."""
        self.screen.title("2  First install: database, migration and shop v1 arrive in one apply")
        self._database_secret()
        mark, position = self.recorder.mark(), len(self.recorder.seen)
        self._type("kubectl apply -f examples/shop/shop.yaml", "apply", "-f", str(SHOP / "shop.yaml"))
        self._watch(
            Story(self.screen, "v1"), position, {"v1 is rolled out": lambda: self._rolled_out("v1")}, ROLLOUT_SECONDS
        )
        promises.rollout(self.kept, self.recorder, "v1", mark)

    def release(self) -> None:
        """A release whose migration succeeds."""
        self.screen.title("3  v2: its migrations add a column and an index")
        self._await_visitors()
        mark, position, begun = self.recorder.mark(), len(self.recorder.seen), time.monotonic()
        self._set_image("v2")
        goals = {"the gate opens": lambda: self._opened("v2")}
        story = Story(self.screen, "v2", "v1")
        position = self._watch(story, position, goals, ROLLOUT_SECONDS)
        self.screen.say("plain", f"visitors    while it was held: {self.visitors.told(begun)}")
        self._watch(story, position, {"v2 is rolled out": lambda: self._rolled_out("v2")}, ROLLOUT_SECONDS)
        time.sleep(WATCHING_SECONDS)
        self.screen.say("good", f"visitors    during the whole release: {self.visitors.told(begun)}")
        promises.rollout(self.kept, self.recorder, "v2", mark)
        silent = self.visitors.since(begun)[""]
        self.kept.check("every visitor was answered during the release of v2", f"{silent} were not" if silent else "")

    def failing_release(self) -> None:
        """A release whose migration fails."""
        self.screen.title("4  v3: its migration fails on real data (two customers signed up twice)")
        mark, position, begun = self.recorder.mark(), len(self.recorder.seen), time.monotonic()
        self._set_image("v3")
        goals = {"the failure is told": lambda: self._condition("MigrationSucceeded").get("status") == "False"}
        self._watch(Story(self.screen, "v3", "v2"), position, goals, FAILURE_SECONDS)
        told = self._condition("MigrationSucceeded")
        self.screen.say("bad", f"status      {told['reason']}")
        for line in textwrap.wrap(told["message"], 100, break_long_words=False, break_on_hyphens=False):
            self.screen.text(" " * 21 + line, "bad")
        time.sleep(WATCHING_SECONDS)
        self.screen.say("good", f"visitors    since v3 was applied: {self.visitors.told(begun)}")
        promises.held_back(self.kept, self.recorder, "v3", mark)
        answered = self.visitors.since(begun)
        only = answered["v2"] and answered["v2"] == answered.total()
        self.kept.check("v2 answered every visitor while v3 failed", "" if only else self.visitors.told(begun))

    def _database_secret(self) -> None:
        """The password is made up here and seen by nobody."""
        password = secrets.token_urlsafe(18)
        url = f"postgresql://shop:{password}@postgres.{NAMESPACE}.svc:5432/shop"
        secret = {"metadata": {"name": "shop-db"}, "stringData": {"password": password, "url": url}}
        self.recorder.api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)

    def _set_image(self, version: str) -> None:
        image = f"web=localhost/shop:{version}"
        command = ("-n", NAMESPACE, "set", "image", "deployment/web", image)
        self._type(f"kubectl {' '.join(command)}", *command)

    def _type(self, shown: str, *arguments: str) -> None:
        self.screen.say("type", shown)
        self.where.run("kubectl", *arguments)

    def _await_visitors(self) -> None:
        begun = time.monotonic()
        self.screen.say("plain", "visitors    three requests a second from here on")
        while self.visitors.since(begun)["v1"] < 3 and time.monotonic() < begun + 10:
            time.sleep(0.1)

    def _watch(self, story: Story, position: int, goals: Mapping[str, Callable[[], object]], seconds: float) -> int:
        """Tell the events after `position` until the goals are reached; where it ended. AssertionError when time is up."""
        begun = time.monotonic()
        for goal, reached in goals.items():
            done = False
            while not done:
                done = bool(reached())  # asked first, so that what led to it is told before the end
                fresh = self.recorder.since(position, 0.0 if done else 1.0)
                position += len(fresh)
                for event in fresh:
                    story.tell(event)
                self.screen.status(f"{time.monotonic() - begun:.0f} s; visitors: {self.visitors.told(begun)}")
                if time.monotonic() > begun + seconds:
                    why = self._condition("Ready").get("message", "nothing yet")
                    raise AssertionError(f"not within {seconds:.0f} s: {goal}. The DatabaseMigration says: {why}")
        return position

    def _condition(self, kind: str) -> dict[str, str]:
        return facts.condition(self.recorder.get("databasemigrations", "shop-db"), kind)

    def _opened(self, version: str) -> bool:
        web = self.recorder.get("deployments", "web")
        return web is not None and facts.image(web).endswith(f":{version}") and not web["spec"].get("paused")

    def _rolled_out(self, version: str) -> bool:
        web = self.recorder.get("deployments", "web")
        return self._opened(version) and web is not None and facts.is_rolled_out(web)


def _summary(theatre: Theatre) -> int:
    screen, kept = theatre.screen, theatre.kept
    screen.title("What was promised, and seen on the record of every ReplicaSet, pod and Job")
    for promise in kept.kept:
        screen.text(f"  kept     {promise}", "good")
    for promise in kept.broken:
        screen.text(f"  BROKEN   {promise}", "bad")
    screen.title(f"Done in {screen.elapsed:.0f} s. The cluster stays; look around:")
    for command in (
        f"export KUBECONFIG={theatre.where.kubeconfig} PATH={theatre.where.tools}:$PATH",
        "kubectl -n shop get dbm,dbb,deployments,jobs",
        "kubectl -n shop describe dbm shop-db",
        "kubectl -n shop set image deployment/web web=localhost/shop:v2    # back to v2: passes at once",
        "make demo-clean",
    ):
        screen.text(f"  {command}", "type")
    return 1 if kept.broken else 0
