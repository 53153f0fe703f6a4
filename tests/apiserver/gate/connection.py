"""Requests to an API server as somebody, over one kept connection: a row of the table costs milliseconds, not a kubectl."""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from tests.apiserver.gate.manifests import Body

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
REQUEST_SECONDS = 30.0


class Refusal(Exception):
    """The API server, or kubectl, said no; `str()` is what it said."""


class Connection:
    """Holds the administrator's certificate and impersonates. Not for several threads."""

    def __init__(self, url: str, pki: Path) -> None:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        host = url.removeprefix("https://")
        self._connection = http.client.HTTPSConnection(host, timeout=REQUEST_SECONDS, context=context)

    def call(self, method: str, path: str, body: Any = None, *, content: str = "", user: str = "") -> Any:
        """The answered object. Refusal for a status of 400 and above."""
        headers = {"Content-Type": content or "application/json", **({"Impersonate-User": user} if user else {})}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 400:
            raise Refusal(f"{response.status} {answer.get('message', '')}")
        return answer

    def get(self, path: str) -> Body | None:
        """The object, None where there is none."""
        try:
            found: Body = self.call("GET", path)
        except Refusal as refusal:
            if str(refusal).startswith("404 "):
                return None
            raise
        return found

    def may(self, user: str, verb: str, resource: str, name: str, namespace: str) -> bool:
        """Whether RBAC grants it by now."""
        asked = {"verb": verb, "namespace": namespace, "resource": resource, "name": name}
        asked["group"] = "apps" if resource == "deployments" else "locktender.dev"
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "resourceAttributes": asked},
        }
        answer = self.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
