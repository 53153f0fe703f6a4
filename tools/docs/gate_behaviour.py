"""The page of the gate's behaviour, made of the rows that tests/apiserver/gate plays on real API servers: the page cannot say anything else."""

from __future__ import annotations

from importlib import import_module  # the tests are no part of what is type-checked with the tools


def page() -> str:
    """The table, section by section."""
    carriers = import_module("tests.apiserver.gate.stages").CARRIERS
    sections = import_module("tests.apiserver.gate.table").SECTIONS
    tried = " and ".join(f"the {carrier} on Kubernetes {version}" for carrier, version in carriers.items())
    lines = [
        "# What the gate does",
        "",
        "Rendered by `make render` from the rows of `tests/apiserver/gate`. Each row is played by `make test-apiserver` on real API servers",
        f"with their controllers, once for each carrier of the gate: {tried}.",
        "After each row the test also looks at the ReplicaSets: except where the last section says so, there is none of a version that",
        "was not let through.",
        "",
        "**Held**: `spec.paused` and the annotation `locktender.dev/held` are set in the very write; the version that runs goes on serving.",
        "`shop:1` is the version that serves, `shop:2` and `shop:3` are new ones.",
    ]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.words, ""]
        lines += ["| what somebody does | to | by whom | what happens |", "|---|---|---|---|"]
        for row in section.rows:
            people = ", ".join(person.words for person in row.by)
            outcome = "; ".join(expected.words for expected in row.then)
            lines.append(f"| {row.does} | {row.on.words} | {people} | {outcome} |")
    return "\n".join(lines) + "\n"
