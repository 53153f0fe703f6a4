"""A Job as the API server sends it."""

from typing import Any

import pytest

from locktender.kube import parse


def a_job(**status: Any) -> dict[str, Any]:
    metadata = {"name": "j", "uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z"}
    return {"metadata": metadata, "spec": {}, "status": status}


@pytest.mark.parametrize(
    ("status", "counted"),
    [
        ({}, False),
        ({"active": 1, "ready": 0, "uncountedTerminatedPods": {}}, False),
        ({"failed": 1}, True),
        ({"succeeded": 1}, True),
        ({"uncountedTerminatedPods": {"failed": ["uid"]}}, True),
        ({"uncountedTerminatedPods": {"succeeded": ["uid"]}}, True),
    ],
    ids=str,
)
def test_the_end_of_a_pod_is_counted_before_the_job_has_ended(
    status: dict[str, Any], counted: bool
) -> None:  # a row of the table
    assert (parse.job(a_job(**status), ()).counted, parse.job(a_job(**status), ()).ended) == (counted, False)
