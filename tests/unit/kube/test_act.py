"""What the actor sends, and what it does not send again."""

from __future__ import annotations

from typing import Any

from locktender.core.actions import EmitEvent
from locktender.kube.act import TELL_AGAIN, Actor
from locktender.settings import Settings
from tests.builders import a_migration


class Recording:
    """A client that notes what is created."""

    def __init__(self) -> None:
        self.created: list[str] = []

    async def create(self, _where: str, body: dict[str, Any]) -> dict[str, Any]:
        self.created.append(body["metadata"]["name"])
        return body


async def test_what_still_holds_is_told_again_before_the_server_has_forgotten_it() -> None:
    now, client, observation = [1.0], Recording(), a_migration().observation()
    actor = Actor(client, Settings("runner:test"), 37, clock=lambda: now[0])  # type: ignore[arg-type]  # creates only
    held = EmitEvent("Held", "Held.", "held/1", deployment="web", deployment_uid="uid-web")
    for seconds in (0.0, 5.0, TELL_AGAIN - 6.0, 1.0):
        now[0] += seconds
        await actor.perform(observation, held)
    assert len(client.created) == 2
    assert len(set(client.created)) == 1, "the same name: a server that still has it answers 409"
