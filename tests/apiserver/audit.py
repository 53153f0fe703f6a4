"""What accounts really asked an API server for, out of its audit log, in the words of RBAC."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.rights import Grant
from tools.render import render

ACCOUNT = f"system:serviceaccount:{render.NAMESPACE}:"
CREATED = 201  # HTTP status of an apply that made its object: RBAC was asked for `create` too


@dataclass(frozen=True)
class Request:
    """One request of one account."""

    account: str
    group: str
    resource: str
    verb: str
    namespace: str
    name: str
    status: int

    @property
    def grants(self) -> set[Grant]:
        """The rights that it needed."""
        made = {(self.group, self.resource, "create")} if self.verb == "patch" and self.status == CREATED else set()
        return {(self.group, self.resource, self.verb)} | made


def requests(log: Path) -> list[Request]:
    """Every request for a resource by an account of the chart."""
    return list(_requests(log))


def _requests(log: Path) -> Iterator[Request]:
    for line in log.read_text().splitlines():
        event: dict[str, Any] = json.loads(line)
        what = event.get("objectRef")
        who = event["user"]["username"]
        if what is None or not who.startswith(ACCOUNT):
            continue
        resource = what["resource"] + (f"/{what['subresource']}" if what.get("subresource") else "")
        yield Request(
            account=who.removeprefix(ACCOUNT),
            group=what.get("apiGroup", ""),
            resource=resource,
            verb=event["verb"],
            namespace=what.get("namespace", ""),
            name=what.get("name", ""),
            status=(event.get("responseStatus") or {}).get("code", 0),
        )
