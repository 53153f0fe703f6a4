"""The resource definitions as schemas: values that fit them, made at random, and what does not fit.

The rules in CEL are left out on purpose: what they refuse is made too, as if an older and looser definition had let it in.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from hypothesis import strategies as st

CRDS = Path(__file__).parents[1] / "crds"
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# What has a meaning somewhere on the way: to a shell, to the kubelet, to YAML, SQL, HTTP, a terminal or a file system.
NASTY = (
    "$(DATABASE_URL)", "$$(DATABASE_URL)", "$$$(LOCKTENDER_DATABASE_URL)", "$(", "$", "`id`", "$(id)", "'; DROP TABLE x; --", '" OR ""="',
    "a\nb: c", "{{ .Values.x }}", "- x", "&a *a", "!!python/object", "../../etc/passwd", "/proc/self/environ", "--help", "\x00", "\x1b[2J",
    "\u202e", "\u0130", "a" * 64, "%s%n", "|| true", "key=value,other", "x/y", "\r\nHost: evil", "LOCKTENDER_RUN", "locktender.dev/run",
)  # fmt: skip


@cache
def schema(plural: str, part: str) -> dict[str, Any]:
    """The schema of `spec` or `status` of one of our kinds."""
    definition = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    found: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return found


def problems(plural: str, part: str, value: Any) -> list[str]:
    """Why an API server would refuse the value; empty when it would not."""
    return [f"{error.json_path}: {error.message[:200]}" for error in _validator(plural, part).iter_errors(value)]


@cache
def _validator(plural: str, part: str) -> jsonschema.Draft202012Validator:
    checker = jsonschema.FormatChecker(())
    checker.checks("date-time")(lambda text: not isinstance(text, str) or MOMENT.fullmatch(text) is not None)
    checker.checks("int64")(lambda number: not isinstance(number, int) or -(2**63) <= number < 2**63)
    checker.checks("int32")(lambda number: not isinstance(number, int) or -(2**31) <= number < 2**31)
    return jsonschema.Draft202012Validator(_closed(schema(plural, part)), format_checker=checker)


def _closed(part: Any) -> Any:
    """Without unknown fields, as `fieldValidation: Strict` has it."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in part.items()}
    if part.get("type") == "object" and "properties" in part:
        closed["additionalProperties"] = False
    return closed


def text(longest: int = 40, *, halves: bool = True) -> st.SearchStrategy[str]:
    """Any text, and often a nasty one. With `halves` of surrogate pairs, which JSON inside a text may spell; no API server stores them."""
    anything = st.text(st.characters(exclude_categories=() if halves else ("Cs",)), max_size=longest)
    return st.one_of(st.sampled_from(NASTY).map(lambda found: found[:longest]), anything)


def anything() -> st.SearchStrategy[Any]:
    """Any JSON."""
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), text())
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text(20), inner, max_size=4)),
        max_leaves=12,
    )


def values(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit a schema."""
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if part.get("x-kubernetes-int-or-string"):
        return st.one_of(st.integers(0, 1000), text(10, halves=False))
    match part.get("type"):
        case "object":
            return _objects(part)
        case "array":
            return st.lists(values(part["items"]), min_size=part.get("minItems", 0), max_size=min(part["maxItems"], 4))
        case "integer":
            return st.integers(
                max(part.get("minimum", -(2**31)), -(2**31)), min(part.get("maximum", 2**31 - 1), 2**31 - 1)
            )
        case "number":
            return st.floats(0, 1e9)
        case "boolean":
            return st.booleans()
        case _ if any("duration(" in rule["rule"] for rule in part.get("x-kubernetes-validations", ())):
            return st.sampled_from(["1s", "500ms", "30m", "1h30m", "99999h99999h99999h", "1.5m"])
        case _ if part.get("format") == "date-time":
            return st.sampled_from(["2026-03-01T12:00:00Z", "2026-03-01T12:00:00.123456Z", "2026-03-01T12:00:00+02:00"])
        case _:
            return text(min(part.get("maxLength", 40), 80), halves=False).filter(
                lambda found: len(found) >= part.get("minLength", 0)
            )


def _objects(part: dict[str, Any]) -> st.SearchStrategy[Any]:
    if isinstance(part.get("additionalProperties"), dict):
        return st.dictionaries(text(30, halves=False), values(part["additionalProperties"]), max_size=3)
    fields = part.get("properties", {})
    required = {name: values({"minLength": 1, **fields[name]}) for name in part.get("required", ())}
    optional = {name: values(child) for name, child in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)
