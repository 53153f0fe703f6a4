"""The client's streaming read against a server that trickles, falls silent, or refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from locktender.core.errors import ApiError
from locktender.kube.client import Client


@asynccontextmanager
async def serving(answer: web.Application) -> AsyncIterator[Client]:
    """A client of a server on a free port."""
    runner = web.AppRunner(answer, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = Client(ApiClient(Configuration(host=f"http://127.0.0.1:{port}")))
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


def a_server(*, silent: bool = False, status: int = 200) -> web.Application:
    async def log(request: web.Request) -> web.StreamResponse:
        if status != 200:
            return web.json_response({"reason": "NotFound", "message": "pods x not found"}, status=status)
        response = web.StreamResponse()
        await response.prepare(request)
        for part in (b"one\n", b"two\n"):
            await response.write(part)
            await asyncio.sleep(0)
        if silent:
            await asyncio.Event().wait()
        return response

    application = web.Application()
    application.router.add_get("/log", log)
    return application


async def read(client: Client, silence: float, into: list[bytes]) -> None:
    async for some in client.stream("/log", silence, "*/*"):
        into.append(some)  # noqa: PERF401  # what came before an error has come


async def test_bytes_come_as_they_are_written() -> None:
    async with serving(a_server()) as client:
        got: list[bytes] = []
        await read(client, 5.0, got)
        assert b"".join(got) == b"one\ntwo\n"


async def test_a_stream_that_falls_silent_ends_with_an_error_and_not_before_its_lines() -> None:
    got: list[bytes] = []
    async with serving(a_server(silent=True)) as client:
        with pytest.raises(ApiError) as error:
            await read(client, 0.3, got)
    assert (b"".join(got), error.value.status) == (b"one\ntwo\n", 0)


async def test_a_refusal_is_the_servers_own() -> None:
    async with serving(a_server(status=404)) as client:
        with pytest.raises(ApiError, match="pods x not found") as error:
            await read(client, 5.0, [])
    assert error.value.status == 404
