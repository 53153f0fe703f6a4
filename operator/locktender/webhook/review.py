"""The answer to one AdmissionReview: pause and mark, or take a stray mark off. Pure; the server around it is in server.py.

The API server asks in two cases, which the object itself tells apart (charts/locktender/templates/_gate.tpl, mustAsk): it must be held and
is not yet, or it is marked and paused although nothing of it has changed.
"""

import base64
import json
from typing import Any

from locktender.settings import ANNOTATION_HELD

JsonObject = dict[str, Any]
API_VERSION = "admission.k8s.io/v1"
MARK = "/metadata/annotations/" + ANNOTATION_HELD.replace("/", "~1")


class BadReview(ValueError):
    """The body is not an AdmissionReview of a Deployment. `str()` says what is wrong with it."""


def answer(review: Any) -> JsonObject:
    """The AdmissionReview that holds the Deployment which `review` asks about, or lifts a hold that it need not have. BadReview when it asks about something else."""
    request = _request(review)
    patch = lift(request) if _is_held(request["object"]) else hold(request["object"])
    return {
        "apiVersion": API_VERSION,
        "kind": "AdmissionReview",
        "response": {"uid": request["uid"], "allowed": True, "patchType": "JSONPatch", "patch": _encoded(patch)},
    }


def hold(deployment: JsonObject) -> list[JsonObject]:
    """The JSON patch that pauses and marks a Deployment. `add` replaces a value that is there, and fails only below a missing parent."""
    annotated = isinstance(deployment["metadata"].get("annotations"), dict)
    mark: JsonObject = (
        {"op": "add", "path": MARK, "value": "true"}
        if annotated
        else {"op": "add", "path": "/metadata/annotations", "value": {ANNOTATION_HELD: "true"}}
    )
    return [{"op": "add", "path": "/spec/paused", "value": True}, mark]


def lift(request: JsonObject) -> list[JsonObject]:
    """The JSON patch that takes off mark and pause; a pause that was there before is a person's own and stays."""
    before = request.get("oldObject")
    paused_before = isinstance(before, dict) and (before.get("spec") or {}).get("paused") is True
    return [{"op": "remove", "path": MARK}, *([] if paused_before else [{"op": "remove", "path": "/spec/paused"}])]


def _is_held(deployment: JsonObject) -> bool:
    marked = (deployment["metadata"].get("annotations") or {}).get(ANNOTATION_HELD) == "true"
    return marked and deployment["spec"].get("paused") is True


def _request(review: Any) -> JsonObject:
    if not isinstance(review, dict) or (review.get("apiVersion"), review.get("kind")) != (
        API_VERSION,
        "AdmissionReview",
    ):
        raise BadReview(f"the body is not an AdmissionReview of {API_VERSION}")
    request = review.get("request")
    if not isinstance(request, dict) or not isinstance(request.get("uid"), str) or not request["uid"]:
        raise BadReview("the AdmissionReview has no request with a uid")
    found = request.get("object")
    kind = found.get("kind") if isinstance(found, dict) else None
    if not isinstance(found, dict) or kind != "Deployment":
        raise BadReview(f"this webhook holds Deployments; it was asked about {kind or 'no object'}")
    if not isinstance(found.get("metadata"), dict) or not isinstance(found.get("spec"), dict):
        raise BadReview("the Deployment in the AdmissionReview has no metadata or no spec")
    return request


def _encoded(patch: list[JsonObject]) -> str:
    return base64.b64encode(json.dumps(patch, separators=(",", ":")).encode()).decode()
