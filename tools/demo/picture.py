"""Draws a transcript of the demo as an SVG for the README: `python3 -m tools.demo.picture TRANSCRIPT docs/held-rollout.svg`.

The text is text: it can be selected, read aloud, and follows the reader's light or dark theme.
"""

import json
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tools.demo.screen import MARKS

FIRST, LAST = "3  ", "What was promised"  # from the heading of v2 to the end of v3
COLUMN, ROW, MARGIN = 7.25, 18, 18  # pixels of a character's width, a line's height, the border
WIDTH = 118  # characters
STYLE = """
    .paper { fill: #ffffff; stroke: #d0d7de }
    text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre; fill: #1f2328 }
    .quiet { fill: #656d76 } .title { font-weight: bold } .good { fill: #116329 } .bad { fill: #a40e26 }
    .held { fill: #7d4e00 } .type { fill: #0550ae }
    @media (prefers-color-scheme: dark) {
      .paper { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 } .quiet { fill: #8d96a0 }
      .good { fill: #56d364 } .bad { fill: #ff7b72 } .held { fill: #e3b341 } .type { fill: #79c0ff }
    }
"""


def main() -> int:
    """Read the transcript, write the picture."""
    source, target = (Path(argument) for argument in sys.argv[1:3])
    lines = [json.loads(line) for line in source.read_text().splitlines()]
    target.write_text(drawn(_scene(lines)))
    return 0


def _scene(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    texts = [line["text"] for line in lines]
    begin = next(i for i, text in enumerate(texts) if text.startswith(FIRST))
    end = next(i for i, text in enumerate(texts) if text.startswith(LAST))
    return lines[begin:end]


def drawn(lines: list[dict[str, Any]]) -> str:
    """The SVG of these lines; times count from the first one."""
    zero = lines[0]["at"]
    rows, y = [], MARGIN
    for number, line in enumerate(lines):
        y += ROW * (2 if line["kind"] == "title" and number else 1)
        mark = f"{line['at'] - zero:6.1f}s " if line["timed"] else ""
        text = (f"{MARKS[line['kind']]} " if line["timed"] else "") + line["text"]
        quiet = f'<tspan class="quiet">{mark}</tspan>' if mark else ""
        rows.append(f'  <text x="{MARGIN}" y="{y}" class="{line["kind"]}">{quiet}{escape(text)}</text>')
    width, height = round(WIDTH * COLUMN + 2 * MARGIN), y + MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        "  <title>make demo: version 2 is held until its database is migrated; version 3 fails and version 2 serves on</title>\n"
        f"  <style>{STYLE}  </style>\n"
        f'  <rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    sys.exit(main())
