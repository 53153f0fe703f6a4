"""A thin asynchronous client that speaks dicts. The only module that imports the Kubernetes library.

Paths are built here, bodies are sent as they are (the server validates them strictly), answers come back as dicts. Every call has a time
limit. Errors become `ApiError` (core/errors.py) with the server's own message.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config.config_exception import ConfigException

from locktender.core.errors import ApiError
from locktender.settings import FIELD_MANAGER, REQUEST_TIMEOUT, WATCH_DURATION

JsonObject = dict[str, Any]
_PATCH_TYPES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
_HEADS = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 500  # objects a list asks for at a time: bounds memory on both sides


def path(
    group_version: str, namespace: str | None, plural: str, name: str | None = None, subresource: str | None = None
) -> str:
    """The URL path of a resource: `path("apps/v1", "shop", "deployments", "web")`."""
    parts = ["api" if "/" not in group_version else "apis", group_version]
    if namespace is not None:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    if name is not None:
        parts.append(quote(name, safe=""))
    if subresource is not None:
        parts.append(subresource)
    return "/" + "/".join(parts)


class Client:
    """One connection pool to the API server."""

    def __init__(self, api: ApiClient, on_call: Callable[[str, str, float], None] | None = None) -> None:
        self._api = api
        self._on_call = on_call

    async def get(self, where: str) -> JsonObject | None:
        """The object, None when it does not exist."""
        try:
            return await self._call("GET", where)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def list(self, where: str, selector: str = "", *, heads: bool = False) -> list[JsonObject]:
        """All objects that carry the labels, read from the store (never from a stale cache). With `heads` only their metadata."""
        items: list[JsonObject] = []
        query = {"limit": str(_PAGE), **({"labelSelector": selector} if selector else {})}
        while True:
            answer = await self._call("GET", where, query, accept=_HEADS if heads else "application/json")
            items += answer.get("items") or []
            following = (answer.get("metadata") or {}).get("continue")
            if not following:
                return items
            query["continue"] = following

    async def create(self, where: str, body: JsonObject) -> JsonObject:
        """Create. ApiError with status 409 when the name is taken."""
        return await self._call("POST", where, {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}, body)

    async def replace(self, where: str, body: JsonObject, *, dry_run: bool = False) -> JsonObject:
        """Replace, guarded by the body's resourceVersion (409 when it is stale). A dry run only shows what would be stored."""
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
        return await self._call("PUT", where, query, body)

    async def patch(self, where: str, body: Any, kind: str, manager: str = FIELD_MANAGER) -> JsonObject:
        """Patch; `kind` is json, merge or apply (server-side apply, where `manager` owns exactly the fields of the body)."""
        query = {"fieldManager": manager, "fieldValidation": "Strict"}
        if kind == "apply":
            query["force"] = "true"
        return await self._call("PATCH", where, query, body, _PATCH_TYPES[kind])

    async def changes(self, where: str, name: str) -> AsyncGenerator[None, None]:
        """An item whenever there is news of the one object of that name, what it is now first; ends when the server ends the watch.

        The field selector is what RBAC goes by when `list` and `watch` are granted for names only. ApiError when the server refuses.
        """
        query = {"watch": "true", "fieldSelector": f"metadata.name={name}", "timeoutSeconds": str(WATCH_DURATION)}
        async for _ in self.stream(f"{where}?{urlencode(query)}", WATCH_DURATION + REQUEST_TIMEOUT):
            yield None

    async def stream(self, url: str, silence: float, accept: str = "application/json") -> AsyncGenerator[bytes, None]:
        """The bytes of an answer as they come, until the server ends it. ApiError when it refuses, breaks off, or says nothing for `silence` seconds."""
        timeout = aiohttp.ClientTimeout(sock_connect=REQUEST_TIMEOUT, sock_read=silence)
        try:
            method, full_url, headers, *_ = await self._api.param_serialize(
                "GET", url, header_params={"Accept": accept}, auth_settings=["BearerToken"]
            )
            response = await self._api.rest_client.request(method, full_url, headers=headers, _request_timeout=timeout)
            async with response.response as answer:  # closed however this ends: it may never end by itself
                if response.status >= 400:
                    refusal = _decode(response.status, await answer.read())
                    raise ApiError(response.status, str(refusal.get("reason", "")), str(refusal.get("message", "")))
                async for some in answer.content.iter_any():
                    yield some
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"GET {url}: {type(error).__name__}: {error}") from error

    async def delete(self, where: str, uid: str | None = None) -> None:
        """Delete with background propagation; with `uid`, only that very object. Absent is fine."""
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            await self._call("DELETE", where, {}, options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def close(self) -> None:
        """Close the connection pool."""
        await self._api.close()

    async def _call(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> JsonObject:
        url = where + (f"?{urlencode(query)}" if query else "")
        started = time.monotonic()
        outcome = "error"
        try:
            status, data = await self._send(method, url, body, {"Accept": accept, "Content-Type": content_type})
            outcome = str(status)
            answer = _decode(status, data)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise ApiError(0, "Unreachable", f"{method} {where}: {type(error).__name__}: {error}") from error
        finally:
            if self._on_call is not None:
                self._on_call(method, outcome, time.monotonic() - started)
        if status >= 400:
            raise ApiError(status, str(answer.get("reason", "")), str(answer.get("message", "")))
        return dict(answer)

    async def _send(self, method: str, url: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        method, full_url, headers, *_ = await self._api.param_serialize(
            method, url, header_params=headers, auth_settings=["BearerToken"]
        )
        response = await self._api.rest_client.request(
            method, full_url, headers=headers, body=body, _request_timeout=REQUEST_TIMEOUT
        )
        async with asyncio.timeout(REQUEST_TIMEOUT):  # asyncio.wait_for may swallow a cancellation before Python 3.12
            return response.status, await response.read()


def _decode(status: int, data: bytes) -> JsonObject:
    """The answer's object. An error may come as plain text (a group that is not served, a proxy in between)."""
    try:
        answer = json.loads(data) if data else {}
    except ValueError:
        if status < 400:
            raise
        answer = None
    return answer if isinstance(answer, dict) else {"message": data.decode(errors="replace").strip()[:500]}


class NotConfigured(Exception):
    """There is neither a service account nor a usable kubeconfig."""


async def default_namespace() -> str:
    """The namespace of the kubeconfig's current context, `default` when it names none."""
    try:
        _, current = config.list_kube_config_contexts()
    except ConfigException:
        return "default"
    return str(current["context"].get("namespace") or "default")


async def connect(on_call: Callable[[str, str, float], None] | None = None) -> Client:
    """A client from the pod's service account, or from the kubeconfig. `on_call(method, code, seconds)` sees every call."""
    configuration = Configuration()
    configuration.retries = False
    # Python 3.13 asks for extensions that the CAs of many running clusters lack; chain, name and dates are verified as ever.
    configuration.disable_strict_ssl_verification = True
    try:
        config.load_incluster_config(client_configuration=configuration)
    except ConfigException:
        try:
            await config.load_kube_config(client_configuration=configuration)
        except ConfigException as error:
            raise NotConfigured(f"no cluster is configured: set KUBECONFIG ({error})") from error
    return Client(ApiClient(configuration), on_call)
