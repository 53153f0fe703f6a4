"""Who stands at the gate, and which rights they have. The roles are the chart's own and Kubernetes' own."""

from dataclasses import dataclass
from enum import Enum

from tools.render import render


@dataclass(frozen=True)
class Rights:
    """`words` go into the documentation; `roles` are the ClusterRoles that `user` is bound to."""

    user: str
    words: str
    roles: tuple[str, ...] = ()
    verbs: tuple[tuple[str, str], ...] = (("patch", "deployments"),)  # asked for until granted


class Person(Enum):
    """A user of the cluster."""

    EDITOR = Rights("alice", "may edit", ("edit",), (("patch", "deployments"), ("create", "databasemigrations")))
    RELEASER = Rights(
        "rita",
        "may edit and `release`",
        ("edit", "locktender-release"),
        (("patch", "deployments"), ("release", "databasemigrations")),
    )
    ON_CALL = Rights(
        "oncall",
        "may edit and `bypass`",
        ("edit", "locktender-bypass"),
        (("patch", "deployments"), ("bypass", "databasemigrations")),
    )
    ADMINISTRATOR = Rights(
        "argo",
        "has every verb",
        ("cluster-admin",),
        (("release", "databasemigrations"), ("bypass", "databasemigrations")),
    )
    OPERATOR = Rights(
        f"system:serviceaccount:{render.NAMESPACE}:locktender",
        "Locktender",
        (),
        (("patch", "deployments"), ("release", "databasemigrations")),
    )
    # Bound by their own row: may edit, and may bypass another gate than this one.
    NEIGHBOUR = Rights("bob", "may edit, and `bypass` another gate", ("edit",))
    KUBERNETES = Rights("", "Kubernetes itself")

    @property
    def user(self) -> str:
        """The name that the API server knows; empty for the administrator of the stage."""
        return self.value.user

    @property
    def words(self) -> str:
        """The name in the documentation."""
        return self.value.words


ANYBODY = (Person.EDITOR, Person.ADMINISTRATOR)
