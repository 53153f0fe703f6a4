"""Specs made at random, on a real API server: what its schema lets in, the operator can read, and its Jobs are pods as promised."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from locktender.api.spec import Spec
from locktender.core.actions import EnsureJob
from locktender.kube import parse
from locktender.render.jobs import job
from locktender.settings import Settings
from tests import crd_schema
from tests.apiserver.conftest import Kubectl
from tests.builders import a_spec
from tools.kube.api import Api

pytestmark = pytest.mark.apiserver

STRICT = "dryRun=All&fieldValidation=Strict"
RUNNER = Settings(runner_image="runner:test")
SPEC = crd_schema.schema("databasemigrations", "spec")
POD = crd_schema.values(SPEC["properties"]["migration"]["properties"]["pod"])
REFUSED = (400, 422)
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.function_scoped_fixture),
)


@pytest.fixture(scope="module")
def api(kubectl: Kubectl, definitions: None) -> Iterator[Api]:
    with Api(kubectl.kubeconfig, str(kubectl.program)) as found:
        yield found


def stored(api: Api, kubectl: Kubectl, spec: dict[str, Any]) -> dict[str, Any] | None:
    """The DatabaseMigration as the server would store it; None when it refuses it."""
    head = {"apiVersion": "locktender.dev/v1alpha1", "kind": "DatabaseMigration"}
    where = f"/apis/locktender.dev/v1alpha1/namespaces/{kubectl.namespace}/databasemigrations?{STRICT}"
    status, answer = api.answer("POST", where, {**head, "metadata": {"name": "shop-db"}, "spec": spec})
    if status == 201:
        return dict(json.loads(answer))
    assert status in REFUSED, answer
    return None


@EXAMPLES
@given(crd_schema.values(SPEC).map(lambda spec: {**spec, "backup": {"policy": "Skip", "reason": "a test"}}))
def test_what_the_schema_lets_in_can_be_read(api: Api, kubectl: Kubectl, spec: dict[str, Any]) -> None:
    found = stored(api, kubectl, spec)
    if found is not None:
        assert isinstance(parse.spec(found), Spec)


@EXAMPLES
@given(
    POD,
    st.sampled_from([{"framework": "Django"}, {"framework": "Command", "command": ["x"]}, {"framework": "Sql"}]),
    st.booleans(),
)
def test_a_job_with_any_pod_section_is_refused_with_words_or_stored_as_promised(
    api: Api, kubectl: Kubectl, pod: dict[str, Any], migration: dict[str, Any], copied: bool
) -> None:
    found = stored(api, kubectl, a_spec(migration={**migration, "pod": pod}))
    if found is None:
        return
    spec = parse.spec(found)
    assert isinstance(spec, Spec)
    action = EnsureJob("shop-db-migrate-1", "Migrate", "run-1", 1, "shop:1", "r", spec)
    body = job(action, str(kubectl.namespace), "shop-db", "uid-1", RUNNER, image_volumes=not copied)
    status, answer = api.answer("POST", f"/apis/batch/v1/namespaces/{kubectl.namespace}/jobs?{STRICT}", body)
    made = json.loads(answer)
    if status != 201:
        assert status in REFUSED, answer
        assert made["message"]
        return
    template = made["spec"]["template"]
    assert body["metadata"]["labels"].items() <= template["metadata"]["labels"].items()
    assert template["spec"]["automountServiceAccountToken"] is False
    assert not [
        volume for volume in template["spec"].get("volumes", ()) if {"secret", "hostPath", "projected"} & volume.keys()
    ]
    for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"]):
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert "appArmorProfile" not in container["securityContext"]
