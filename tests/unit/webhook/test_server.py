"""The server's two ports, without TLS: what is answered, refused, counted, and said on the way out."""

import io
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import generate_latest

from locktender.settings import WEBHOOK_BODY_LIMIT
from locktender.telemetry.metrics import Metrics
from locktender.telemetry.table import WEBHOOK_METRICS
from locktender.webhook.server import Standing, hold_application, probe_application

REVIEW: dict[str, Any] = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {"uid": "u1", "object": {"kind": "Deployment", "metadata": {}, "spec": {}}},
}


async def test_holds_and_counts() -> None:
    metrics = Metrics(WEBHOOK_METRICS)
    async with TestClient(TestServer(hold_application(metrics, Standing()))) as client:
        answer = await client.post("/hold", json=REVIEW)
        assert (answer.status, (await answer.json())["response"]["uid"]) == (200, "u1")
    assert b'locktender_webhook_request_duration_seconds_count{outcome="held"} 1.0' in generate_latest(metrics.registry)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "the body is not JSON"),
        (b"[" * 100_000, 400, "the body is not JSON"),
        (b"\xff", 400, "the body is not JSON"),
        (b"{}", 400, "the body is not an AdmissionReview of admission.k8s.io/v1"),
        (json.dumps(REVIEW | {"padding": "x" * WEBHOOK_BODY_LIMIT}).encode(), 413, "Maximum request body size 8388608 exceeded"),
    ],
    ids=["cut off", "too deep", "no text", "something else", "too large"],
)  # fmt: skip
async def test_refuses_in_words_and_counts(body: bytes, status: int, words: str) -> None:
    metrics = Metrics(WEBHOOK_METRICS)
    async with TestClient(TestServer(hold_application(metrics, Standing()))) as client:
        answer = await client.post("/hold", data=io.BytesIO(body))
        assert answer.status == status
        assert words in await answer.text()
    refused = b'locktender_webhook_request_duration_seconds_count{outcome="refused"} 1.0'
    assert refused in generate_latest(metrics.registry)


async def test_on_the_way_out_it_answers_and_closes_each_connection() -> None:
    async with TestClient(TestServer(hold_application(Metrics(WEBHOOK_METRICS), Standing(leaving=True)))) as client:
        answer = await client.post("/hold", json=REVIEW)
        assert (answer.status, answer.headers["Connection"]) == (200, "close")


@pytest.mark.parametrize(
    ("standing", "status", "words"),
    [
        (Standing(), 503, "no certificate is loaded yet"),
        (Standing(unready=""), 200, "ok"),
        (Standing(unready="", leaving=True), 503, "shutting down"),
    ],
)
async def test_says_whether_it_wants_to_be_asked(standing: Standing, status: int, words: str) -> None:
    async with TestClient(TestServer(probe_application(Metrics(WEBHOOK_METRICS), standing))) as client:
        answer = await client.get("/readyz")
        assert (answer.status, await answer.text()) == (status, words)
        assert (await client.get("/healthz")).status == 200
        exposed = await (await client.get("/metrics")).text()
        assert "locktender_webhook_certificate_expiry_timestamp_seconds 0.0" in exposed
        assert "locktender_leader" not in exposed, "only what this process knows"
