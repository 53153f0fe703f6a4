"""The gate's own admission objects: what they should be, what they are, and how they are brought back.

What they should be stands in a ConfigMap that the chart renders from the templates of the objects themselves. It is read live, never
mounted: at an upgrade a mounted copy would be late, and the old version would be "restored" over the new one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from locktender.api.status import moment
from locktender.core.errors import ApiError
from locktender.core.messages import one_line
from locktender.kube import paths
from locktender.kube.client import Client, JsonObject
from locktender.settings import FIELD_MANAGER

PLURALS = {
    "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
    "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
}
CONTENT = ("spec", "webhooks")  # what the objects say; the rest is names, labels and bookkeeping
NARROWING = {
    "excludeResourceRules",
    "matchConditions",
    "matchResources",
    "namespaceSelector",
    "objectSelector",
    "paramKind",
    "paramRef",
    "resourceNames",
}
OWNED_BY_HELM = "meta.helm.sh/"


class Deed(StrEnum):
    """What was done to an object."""

    NONE = "none"
    DELETED = "deleted"
    EDITED = "edited"


@dataclass(frozen=True)
class Wanted:
    """One object as the chart installs it. `manager` is the field manager of whoever installed it."""

    kind: str
    name: str
    body: JsonObject
    manager: str

    @property
    def where(self) -> str:
        """Its path."""
        return paths.admission(PLURALS[self.kind], self.name)

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Wish:
    """The ConfigMap: its identity, and the objects in it. None of them: nothing is wanted any more."""

    uid: str
    written: datetime
    objects: tuple[Wanted, ...]

    def find(self, wanted: Wanted) -> Wanted | None:
        """What is wanted of that object in this wish."""
        return next((item for item in self.objects if str(item) == str(wanted)), None)


@dataclass(frozen=True)
class Seen:
    """An object as it is."""

    deed: Deed
    live: JsonObject | None

    @property
    def identity(self) -> str:
        """Names this very state, so that it is told once."""
        return str(self.live["metadata"]["resourceVersion"]) if self.live else "absent"

    @property
    def writer(self) -> str:
        """The field manager that wrote last, such as kubectl-edit; empty when that is not known."""
        entries = self.live["metadata"].get("managedFields") or () if self.live else ()
        newest: JsonObject = max(entries, key=lambda entry: entry.get("time", ""), default={})
        return one_line(str(newest.get("manager", "")), 60)


async def wish(client: Client, namespace: str, name: str) -> Wish | None:
    """What the gate should be now; None without the ConfigMap. Raises ApiError, also when it holds what no chart of ours renders."""
    raw = await client.get(paths.config_maps(namespace, name))
    if raw is None:
        return None
    try:
        objects = tuple(_wanted(raw, json.loads(text)) for text in (raw.get("data") or {}).values())
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ApiError(0, "Unreadable", f"ConfigMap {name} is not what the chart renders: {problem!r}") from problem
    return Wish(raw["metadata"]["uid"], _written(raw), objects)


def _written(config_map: JsonObject) -> datetime:
    times = [entry["time"] for entry in config_map["metadata"].get("managedFields") or () if entry.get("time")]
    return moment(max(times, default=config_map["metadata"]["creationTimestamp"]))


def _wanted(config_map: JsonObject, body: JsonObject) -> Wanted:
    """The object with the labels and Helm's marks of the ConfigMap: both come from the same release."""
    if body["kind"] not in PLURALS:
        raise ValueError(f"{body['kind']} is no part of the gate")
    meta, marks = body["metadata"], config_map["metadata"].get("annotations") or {}
    annotations = {key: text for key, text in marks.items() if key.startswith(OWNED_BY_HELM)}
    whole = {
        **body,
        "metadata": {
            "name": meta["name"],
            "labels": dict(config_map["metadata"].get("labels") or {}),
            "annotations": {**annotations, **(meta.get("annotations") or {})},
        },
    }
    return Wanted(body["kind"], meta["name"], whole, _manager(config_map))


def _manager(config_map: JsonObject) -> str:
    """Whoever wrote the ConfigMap's data, server-side apply before the rest: as the same manager we are in nobody's way at an upgrade."""
    writers = [
        (entry.get("operation") == "Apply", entry.get("time", ""), entry["manager"])
        for entry in config_map["metadata"].get("managedFields") or ()
        if "f:data" in (entry.get("fieldsV1") or {})
    ]
    return str(max(writers)[2]) if writers else FIELD_MANAGER


async def look(client: Client, wanted: Wanted, *, may_write: bool) -> Seen:
    """What was done to an object. A dry run fills the defaults in, so nothing is written. Raises ApiError."""
    live = await client.get(wanted.where)
    if live is None:
        return Seen(Deed.DELETED, None)
    if not may_write:
        return Seen(_compare(wanted, live), live)
    shown = await client.replace(wanted.where, _exact(wanted, live), dry_run=True)
    same = all(shown.get(part) == live.get(part) for part in CONTENT) and _marked(wanted, live["metadata"])
    return Seen(Deed.NONE if same else Deed.EDITED, live)


def _compare(wanted: Wanted, live: JsonObject) -> Deed:
    """The same without the right to write, and so without the server's defaults: everything wanted is there as wanted."""
    same = all(_covers(live.get(part), wanted.body.get(part)) for part in CONTENT)
    return Deed.NONE if same and _marked(wanted, live["metadata"]) else Deed.EDITED


async def restore(client: Client, wanted: Wanted, seen: Seen) -> JsonObject:
    """Bring it back: by server-side apply, which creates it or takes every field of ours back, then without what others added.

    Where what others added and what we take back exclude each other (validationActions Warn and Deny), it goes first. That write must leave
    no owner behind: at an upgrade Helm would be refused for it.
    """
    try:
        made = await client.patch(wanted.where, wanted.body, "apply", wanted.manager)
    except ApiError as error:
        if error.status != 422 or seen.live is None:
            raise
        await client.replace(wanted.where, _exact(wanted, seen.live))
        made = await client.patch(wanted.where, wanted.body, "apply", wanted.manager)
    exact = _exact(wanted, made)
    owners = made["metadata"].get("managedFields") or ()
    kept = [owner for owner in owners if (owner["manager"], owner["operation"]) != (FIELD_MANAGER, "Update")]
    if len(kept) < len(owners):
        exact = {**exact, "metadata": {**exact["metadata"], "managedFields": kept}}
    return await client.replace(wanted.where, exact)


async def withdraw(client: Client, wanted: Wanted, made: JsonObject) -> None:
    """Take back what was restored while it stopped being wanted."""
    await client.delete(wanted.where, made["metadata"]["uid"])


def _exact(wanted: Wanted, live: JsonObject) -> JsonObject:
    """The live object with the wanted content, labels and annotations. A CA bundle is not the chart's to say."""
    bundles = {
        item.get("name"): (item.get("clientConfig") or {}).get("caBundle") for item in live.get("webhooks") or ()
    }
    content = {part: wanted.body[part] for part in CONTENT if part in wanted.body}
    if "webhooks" in content:
        content["webhooks"] = [_with_bundle(item, bundles.get(item["name"])) for item in content["webhooks"]]
    meta, mine = live["metadata"], wanted.body["metadata"]
    labels = {**(meta.get("labels") or {}), **mine["labels"]}
    annotations = {**(meta.get("annotations") or {}), **mine["annotations"]}
    return {**live, **content, "metadata": {**meta, "labels": labels, "annotations": annotations}}


def _with_bundle(webhook: JsonObject, bundle: str | None) -> JsonObject:
    return {**webhook, "clientConfig": {**webhook["clientConfig"], "caBundle": bundle}} if bundle else webhook


def _marked(wanted: Wanted, meta: Mapping[str, Any]) -> bool:
    """Every label and annotation of ours is there; others may add theirs."""
    mine = wanted.body["metadata"]
    return all((mine[kind].items() <= (meta.get(kind) or {}).items()) for kind in ("labels", "annotations"))


def _covers(live: Any, wanted: Any) -> bool:
    """`live` says what `wanted` says, and nothing besides that would narrow it; other fields may be the server's defaults."""
    if isinstance(wanted, dict):
        extra = live.keys() - wanted.keys() if isinstance(live, dict) else set()
        return (
            isinstance(live, dict)
            and not any(live[key] for key in extra & NARROWING)
            and all(_covers(live.get(key), value) for key, value in wanted.items())
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and len(live) == len(wanted) and all(map(_covers, live, wanted))
    return bool(live == wanted)
