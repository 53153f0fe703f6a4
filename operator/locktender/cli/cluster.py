"""Finds a MigrationReport in the cluster, with the rights of whoever asks."""

from typing import Any

from locktender.cli.story import NoReport
from locktender.core.errors import ApiError
from locktender.kube import client, paths
from locktender.kube.client import Client, JsonObject
from locktender.render.names import MANAGED_SELECTOR, migration_selector
from locktender.settings import LABEL_RUN


class NoCluster(Exception):
    """No cluster is configured. `str()` says what to do."""


async def find(namespace: str | None, name: str | None, run: str | None) -> Any:
    """The report of that name, else the newest of that DatabaseMigration, run or namespace. Raises NoReport, ApiError or NoCluster."""
    try:
        api = await client.connect()
        where = namespace or await client.default_namespace()
    except client.NotConfigured as problem:
        raise NoCluster(str(problem)) from problem
    try:
        return await _find(api, where, name, run)
    finally:
        await api.close()


async def _find(api: Client, namespace: str, name: str | None, run: str | None) -> Any:
    if name:
        try:
            found = await api.get(paths.reports(namespace, name))
        except ApiError as error:
            raise _told(error, namespace) from error
        if found is not None:
            return found
    selector = migration_selector(name) if name else f"{LABEL_RUN}={run}" if run else MANAGED_SELECTOR
    try:
        heads = await api.list(paths.reports(namespace), selector, heads=True)
    except ApiError as error:
        raise _told(error, namespace) from error
    newest = max(heads, key=_age, default=None)
    found = await api.get(paths.reports(namespace, newest["metadata"]["name"])) if newest else None
    if found is None:
        what = f"named {name}, nor of a DatabaseMigration {name}," if name else f"of run {run}" if run else "at all"
        raise NoReport(
            f"there is no MigrationReport {what} in namespace {namespace}. List them: kubectl get dmr --all-namespaces"
        )
    return found


def _age(head: JsonObject) -> tuple[str, str]:
    return head["metadata"]["creationTimestamp"], head["metadata"]["name"]


def _told(error: ApiError, namespace: str) -> NoReport:
    if error.status == 403:
        return NoReport(
            f"you may not read MigrationReports here: {error}. Try: kubectl auth can-i list dmr -n {namespace}"
        )
    return NoReport(f"the cluster does not answer: {error}")
