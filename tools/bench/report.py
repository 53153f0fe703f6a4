"""What a bench leaves: a table on the screen, `{"conditions": {...}, "rows": {...}}` in build/bench."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "build" / "bench"


@dataclass(frozen=True)
class Aim:
    """The most that a row may be."""

    row: str
    most: float


@dataclass(frozen=True)
class Result:
    """One run of one bench. A row's unit is the end of its name."""

    name: str
    conditions: Mapping[str, Any]
    rows: Mapping[str, float]
    aims: tuple[Aim, ...] = ()

    def missed(self) -> list[Aim]:
        """The aims that were not reached."""
        return [aim for aim in self.aims if not self.rows[aim.row] <= aim.most]

    def write(self, folder: Path = FOLDER) -> Path:
        """Write the JSON; its path."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.json"
        file.write_text(json.dumps({"conditions": self.conditions, "rows": self.rows}, indent=1) + "\n")
        return file

    def tell(self, write: Callable[[str], None], compared_with: Mapping[str, float]) -> None:
        """The table. `compared_with` names rows in seconds that every other row in seconds is divided by."""
        write("")
        for name, value in self.conditions.items():
            write(f"  {name:28} {value}")
        heads = [f"x {name}" for name in compared_with]
        write("")
        write("  " + f"{'':28}{'measured':>12}{'aim':>10}  " + "".join(f"{head:>18}" for head in heads))
        for row, value in self.rows.items():
            aim = next((aim for aim in self.aims if aim.row == row), None)
            wanted = "" if aim is None else f"<= {aim.most:g}"
            in_seconds = row.endswith("_s")
            ratios = [f"{value / base:.2f}" if in_seconds and base else "" for base in compared_with.values()]
            mark = "" if aim is None else ("  met" if aim not in self.missed() else "  MISSED")
            write(f"  {row:28}{value:>12.3f}{wanted:>10}  " + "".join(f"{text:>18}" for text in ratios) + mark)
