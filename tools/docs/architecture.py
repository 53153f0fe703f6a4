"""The parts of docs/architecture.md that say what the code does: taken from the code, so that the page cannot say anything else.

A part stands between `<!-- NAME -->` and `<!-- end -->`; the rest of the page is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import get_args

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
DECIDE = ROOT / "operator" / "locktender" / "core" / "decide.py"
# Where the name of a framework stands. `make test-unit` knows whether one is missing.
FRAMEWORK = "Alembic"
OF_A_FRAMEWORK = (
    "operator/locktender/api/spec.py",
    "operator/locktender/render/presets.py",
    "operator/locktender/core/retry.py",
    "crds/databasemigrations.yaml",
    "tests/unit/render/test_jobs.py",
)


def page(text: str) -> str:
    """The page with its rendered parts as the code has them now."""
    parts = {"steps": _steps(), "branches": _branches(), "actions": _actions(), "framework": _framework()}
    for name, body in parts.items():
        begin, end = f"<!-- {name} -->\n", "<!-- end -->"
        count = text.count(begin)
        if count != 1:
            raise ValueError(f"{PAGE.name} has {count} places for the part {name!r}, it needs one")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{body}\n{end}{rest.partition(end)[2]}"
    return text


def _steps() -> str:
    from locktender.core.steps import STRATEGIES

    modules = {name: sys.modules[advance.__module__] for steps in STRATEGIES.values() for name, advance in steps}
    rows = [["step", *(f"`{strategy}`" for strategy in STRATEGIES), "verdict from", "what it does", "file"]]
    for name, module in modules.items():
        places = [
            [step for step, _ in steps].index(name) + 1 if name in dict(steps) else "-" for steps in STRATEGIES.values()
        ]
        container = getattr(module, "CONTAINER", "")
        sentence = (module.__doc__ or "").split("\n")[0].partition(": ")[2]
        judged = f"container `{container}` of a Job" if container else "the Deployments"
        file = f"core/steps/{module.__name__.rpartition('.')[2]}.py"
        rows.append([name, *map(str, places), judged, sentence[:1].upper() + sentence[1:], f"`{file}`"])
    return _table(rows)


def _branches() -> str:
    """The numbered comments of `decide`, read top to bottom."""
    found = re.findall(r"^    # (\d+)\. (.*(?:\n    # (?!\d).*)*)", DECIDE.read_text(), re.MULTILINE)
    return "\n".join(
        f"{number}. {' '.join(line.strip('# ') for line in words.splitlines())}" for number, words in found
    )


def _actions() -> str:
    from locktender.core import actions

    rows = [["action", "what it asks for"]]
    kinds: tuple[type, ...] = get_args(actions.Action)
    rows += [[f"`{kind.__name__}`", (kind.__doc__ or "").strip().split("\n")[0]] for kind in kinds]
    return _table(rows)


def _framework() -> str:
    """Every line that one framework needs, as a diff: each with the line before it, and what belongs to it after it."""
    lines = ["```diff"]
    for file in OF_A_FRAMEWORK:
        source = (ROOT / file).read_text().splitlines()
        lines.append(f"--- {file}")
        for number, line in enumerate(source):
            if FRAMEWORK.lower() not in line.lower() or line.lstrip().startswith(("#", "description")):
                continue
            if FRAMEWORK.lower() not in source[number - 1].lower():
                lines.append(f" {source[number - 1]}".rstrip())
            lines.append(f"+{line}")
    return "\n".join([*lines, "```"])


def _table(rows: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
