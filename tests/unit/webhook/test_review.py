"""The answer to one AdmissionReview, as the API server would apply it."""

import base64
import copy
import json
from typing import Any

import pytest

from locktender.webhook.review import BadReview, answer, hold, lift


def review(**metadata: Any) -> dict[str, Any]:
    found = {"kind": "Deployment", "metadata": {"name": "web", **metadata}, "spec": {"replicas": 1}}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u1", "object": found}}


def applied(body: dict[str, Any], patch: list[dict[str, Any]]) -> dict[str, Any]:
    """RFC 6902's `add`, which is all that is used: below a missing parent it fails."""
    result = copy.deepcopy(body)
    for step in patch:
        assert step["op"] == "add"
        *parents, last = [part.replace("~1", "/") for part in step["path"].split("/")[1:]]
        target = result
        for parent in parents:
            target = target[parent]
        target[last] = step["value"]
    return result


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({}, {"locktender.dev/held": "true"}),
        ({"annotations": None}, {"locktender.dev/held": "true"}),
        ({"annotations": {}}, {"locktender.dev/held": "true"}),
        ({"annotations": {"a": "b"}}, {"a": "b", "locktender.dev/held": "true"}),
        ({"annotations": {"locktender.dev/held": "false"}}, {"locktender.dev/held": "true"}),
    ],
    ids=["no annotations", "null", "empty", "others", "another mark"],
)
@pytest.mark.parametrize("paused", [None, False, True])
def test_the_patch_pauses_and_marks_and_changes_nothing_else(
    annotations: dict[str, Any], expected: dict[str, str], paused: bool | None
) -> None:
    body = review(**annotations)["request"]["object"]
    if paused is not None:
        body["spec"]["paused"] = paused
    assert applied(body, hold(body)) == {
        "kind": "Deployment",
        "metadata": {"name": "web", "annotations": expected},
        "spec": {"replicas": 1, "paused": True},
    }


def test_the_answer_belongs_to_its_question() -> None:
    found = answer(review())
    patch = json.loads(base64.b64decode(found["response"].pop("patch")))
    assert patch == hold(review()["request"]["object"])
    assert found == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": "u1", "allowed": True, "patchType": "JSONPatch"},
    }


STRAY = {"annotations": {"a": "b", "locktender.dev/held": "true"}}
TAKE_OFF = {"op": "remove", "path": "/metadata/annotations/locktender.dev~1held"}


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ({"spec": {}}, [TAKE_OFF, {"op": "remove", "path": "/spec/paused"}]),
        ({"spec": {"paused": False}}, [TAKE_OFF, {"op": "remove", "path": "/spec/paused"}]),
        ({"spec": {"paused": True}}, [TAKE_OFF]),
    ],
    ids=["not paused before", "paused: false before", "a pause of their own"],
)
def test_a_hold_on_a_write_that_changes_nothing_is_lifted(
    before: dict[str, Any], expected: list[dict[str, str]]
) -> None:
    body = review(**STRAY)
    body["request"]["object"]["spec"]["paused"] = True
    body["request"]["oldObject"] = before
    assert json.loads(base64.b64decode(answer(body)["response"]["patch"])) == lift(body["request"]) == expected


def test_a_mark_without_the_pause_is_held() -> None:
    body = review(**STRAY)
    assert json.loads(base64.b64decode(answer(body)["response"]["patch"])) == hold(body["request"]["object"])


def changed(**request: Any) -> dict[str, Any]:
    body = review()
    body["request"] |= request
    return body


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], "the body is not an AdmissionReview of admission.k8s.io/v1"),
        ({**review(), "apiVersion": "admission.k8s.io/v1beta1"}, "the body is not an AdmissionReview of admission.k8s.io/v1"),
        ({**review(), "request": None}, "the AdmissionReview has no request with a uid"),
        (changed(uid=""), "the AdmissionReview has no request with a uid"),
        (changed(object=None), "this webhook holds Deployments; it was asked about no object"),
        (changed(object={"kind": "Pod"}), "this webhook holds Deployments; it was asked about Pod"),
        (changed(object={"kind": "Deployment", "spec": {}}), "the Deployment in the AdmissionReview has no metadata or no spec"),
    ],
)  # fmt: skip
def test_whatever_else_is_named(body: Any, sentence: str) -> None:
    with pytest.raises(BadReview) as problem:
        answer(body)
    assert str(problem.value) == sentence
