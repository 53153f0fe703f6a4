"""What a Deployment's own marks tell: which word opened its gate last, and whether it carried the label from the first."""

from __future__ import annotations

from typing import Any

import pytest

from locktender.core.observation import OpenedBy, Word
from locktender.kube import parse

CREATED = "2026-03-01T12:00:00Z"


def a_deployment(generation: int = 7, owners: list[dict[str, Any]] | None = None, **annotations: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "web",
            "uid": "uid",
            "generation": generation,
            "creationTimestamp": CREATED,
            "annotations": {f"locktender.dev/{name}": text for name, text in annotations.items()},
            "managedFields": owners or [],
        },
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "shop:1"}]}}},
    }


def owner(*, creator: bool = True, labels: bool = True, time: str = CREATED) -> dict[str, Any]:
    fields: dict[str, Any] = {"f:spec": {"f:selector": {}} if creator else {"f:replicas": {}}}
    if labels:
        fields["f:metadata"] = {"f:labels": {"f:locktender.dev/gate": {}}}
    return {"manager": "somebody", "operation": "Apply", "time": time, "fieldsV1": fields}


@pytest.mark.parametrize(
    ("annotations", "word"),
    [
        ({}, None),
        ({"released": "run-1@3"}, Word(OpenedBy.RELEASE, "run-1", 3)),
        ({"released": "run-1@3", "bypass": "INC-42@5"}, Word(OpenedBy.BYPASS, "INC-42", 5)),
        ({"released": "run-2@6", "bypass": "INC-42@5"}, Word(OpenedBy.RELEASE, "run-2", 6)),
        ({"released": "run-2@6", "bypass": "INC-42@9"}, Word(OpenedBy.RELEASE, "run-2", 6)),
        ({"bypass": "no generation"}, None),
    ],
)
def test_the_newest_word_that_can_have_opened_the_gate_counts(annotations: dict[str, str], word: Word | None) -> None:
    assert parse.deployment(a_deployment(**annotations)).word == word


@pytest.mark.parametrize(
    ("owners", "from_the_first"),
    [
        ([owner()], True),
        ([owner(time="2026-03-01T12:00:05Z")], False),
        ([owner(labels=False), owner(creator=False)], False),
        ([owner(creator=False), owner()], True),
        ([], False),
    ],
    ids=["created so", "written again since", "labelled by somebody else", "scaled by somebody else", "no record"],
)
def test_the_label_was_there_from_the_first(owners: list[dict[str, Any]], *, from_the_first: bool) -> None:
    assert (parse.deployment(a_deployment(owners=owners)).gated_since is not None) == from_the_first
