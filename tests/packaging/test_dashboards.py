"""The form of the Grafana dashboards: what Grafana's own model keeps of them, and that they are fit to be read."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.render import render

pytestmark = pytest.mark.packaging
FILES = sorted((render.CHART / "files" / "dashboards").glob("*.json"))
WIDTH = 24  # columns of Grafana's grid
# Written by Grafana's editor beside `query`, and not in its model.
NOT_IN_THE_MODEL = {"definition"}


def content(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def lost(given: Any, kept: Any, place: str = "") -> list[str]:
    """The places whose value the model does not keep: a misspelt key, an option that the panel does not have."""
    if isinstance(given, dict) and isinstance(kept, dict):
        missing = [f"{place}.{key}" for key in given.keys() - kept.keys() - NOT_IN_THE_MODEL]
        return missing + [
            item for key in given.keys() & kept.keys() for item in lost(given[key], kept[key], f"{place}.{key}")
        ]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = zip(given, kept, strict=True)
        return [item for number, pair in enumerate(pairs) for item in lost(*pair, f"{place}[{number}]")]
    return [] if given == kept else [place]


def modelled(raw: dict[str, Any]) -> Any:
    register_default_plugins()  # or the options of a panel are not looked at
    return json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(raw)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_grafanas_own_model_keeps_all_of_it(file: Path) -> None:
    raw = content(file)
    assert lost(raw, modelled(raw)) == []


def test_a_misspelt_option_would_be_found_out() -> None:
    raw = content(FILES[0])
    panel = next(item for item in raw["panels"] if item["type"] == "stat")
    panel["options"]["colourMode"] = panel["options"].pop("colorMode")
    assert [place.rpartition(".")[2] for place in lost(raw, modelled(raw))] == ["colourMode"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_panels_stand_beside_each_other_and_say_what_they_show(file: Path) -> None:
    panels = content(file)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        if panel["type"] != "row":
            assert panel["description"].endswith(".")
    areas = [{(x, y) for x in _span(panel, "x", "w") for y in _span(panel, "y", "h")} for panel in panels]
    assert [one & other for one, other in combinations(areas, 2) if one & other] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_query_goes_to_the_chosen_data_source(file: Path) -> None:
    raw = content(file)
    assert raw["templating"]["list"][0]["type"] == "datasource"
    asked = [*(panel for panel in raw["panels"] if panel["type"] != "row"), *raw["templating"]["list"][1:]]
    asked += [target for panel in raw["panels"] for target in panel.get("targets", ())]
    assert {item["datasource"]["uid"] for item in asked} == {"${datasource}"}
    assert raw["uid"] == f"locktender-{file.stem}"
    assert raw.get("id") is None


def _span(panel: dict[str, Any], start: str, length: str) -> range:
    place = panel["gridPos"]
    return range(place[start], place[start] + place[length])
