"""The lock timeline as inline SVG: what the migration held and waited for, who waited below it, where it was stopped.

    0 s      1 s      2 s      3 s
    relation  [its own wait][ its lock            ]
                  [ a session of others waits    ]
                       [ another one             ]
    curves    waiting sessions, write-ahead log, progress

Colours are classes of the page's style sheet. Every text is escaped: relations, roles and queries are what somebody called them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, log10

from locktender.api.duration import readable
from locktender.cli.report_curves import Curve, curves
from locktender.cli.story import Story
from locktender.cli.units import mode_for_people
from locktender.core import messages_report as messages
from locktender.core.agent_facts import Blocked, Hold, Wait

WIDTH, GUTTER, MARGIN = 1000.0, 190.0, 22.0  # the picture's own units; a page scales it
ROW, THIN, GAP = 20.0, 8.0, 3.0
LANES = 8  # relations that get a lane: those that others waited for longest
STACK = 12  # rows of waiting sessions below a lane; more would be a wall
CHARACTER = 6.1  # width of a small letter, to know whether a text fits its bar
ZOOM = 25.0  # how many times longer than the worst wait the story must be until that wait gets a picture of its own


@dataclass
class Canvas:
    """Draws downwards; `x` is linear in time between `start` and `end`."""

    start: float
    end: float
    name: str
    y: float = 0.0
    parts: list[str] = field(default_factory=list)

    def x(self, at: float) -> float:
        """Where a moment is."""
        share = (min(max(at, self.start), self.end) - self.start) / (self.end - self.start)
        return round(GUTTER + share * (WIDTH - GUTTER - MARGIN), 1)

    def shows(self, start: float, seconds: float) -> bool:
        """Whether any of it is inside."""
        return start <= self.end and start + seconds >= self.start

    def bar(self, start: float, seconds: float, height: float, look: str, title: str) -> tuple[float, float]:
        """A bar over a span, never too thin to be seen; its left edge and width."""
        left = self.x(start)
        width = max(round(self.x(start + seconds) - left, 1), 2.5)
        self.parts.append(
            f'<rect class="{look}" x="{left}" y="{self.y:.1f}" width="{width}" height="{height}" rx="2.5">'
            f"<title>{escape(title)}</title></rect>"
        )
        return left, width

    def text(self, x: float, y: float, words: str, look: str, anchor: str = "start") -> None:
        """Words."""
        self.parts.append(f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>')

    def line(self, at: float, top: float, bottom: float, look: str) -> None:
        """An upright line at a moment."""
        self.parts.append(
            f'<line class="{look}" x1="{self.x(at)}" x2="{self.x(at)}" y1="{top:.1f}" y2="{bottom:.1f}"/>'
        )


def pictures(story: Story) -> list[tuple[str, str]]:
    """Titles and pictures: the whole, and the worst wait where it would be too small to be seen in the whole."""
    made = [("Lock timeline", picture(story, 0.0, story.end, "whole"))]
    worst = story.worst_waits[0] if story.waits else None
    if worst is not None and story.end > ZOOM * max(worst.seconds, 0.05):
        near: list[Wait | Blocked] = [item for item in _waiting(story) if _overlap(item, worst)]
        first = min(item.start for item in near)
        last = max(item.start + item.seconds for item in near)
        room = max(0.25 * (last - first), 0.1)
        first, last = max(0.0, first - room, worst.start - 4 * worst.seconds), min(last + room, story.end + room)
        made.append(("Around the longest wait", picture(story, first, last, "near")))
    return made


def picture(story: Story, start: float, end: float, name: str) -> str:
    """One SVG of the time between `start` and `end`."""
    canvas = Canvas(start, end, name, y=58.0 if story.stops else 32.0)
    top = canvas.y
    lanes = _lanes(story, canvas)
    for relation in lanes[:LANES]:
        _lane(canvas, story, relation)
    if len(lanes) > LANES:
        canvas.text(8, canvas.y + 10, f"and {len(lanes) - LANES} more relations", "dim")
        canvas.y += 22
    if not lanes:
        canvas.text(GUTTER, canvas.y + 16, "No lock was held or waited for here.", "dim")
        canvas.y += 34
    for curve in curves(story):
        _curve(canvas, curve)
    frame = _frame(canvas, story, top)
    height = canvas.y + 30
    _legend(canvas, height - 10)
    label = escape(f"Lock timeline of {story.migration}, {start:.1f} s to {end:.1f} s")
    hatch = (
        f'<defs><pattern id="hatch-{name}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect class="own-ground" width="7" height="7"/><rect class="own-stripe" width="3" height="7"/></pattern></defs>'
    )
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{label}">'
        f"{hatch}{frame}{''.join(canvas.parts)}</svg>"
    )


def _waiting(story: Story) -> tuple[Wait | Blocked, ...]:
    return (*story.waits, *story.blocked)


def _overlap(one: Wait | Blocked, other: Wait) -> bool:
    return one.start <= other.start + other.seconds and other.start <= one.start + one.seconds


def _lanes(story: Story, canvas: Canvas) -> list[str]:
    """The relations to show: those that cost others most come first, then those held longest."""
    cost: dict[str, tuple[float, float]] = {}
    spans: tuple[Wait | Hold | Blocked, ...] = (*story.waits, *story.holds, *story.blocked)
    for item in spans:
        if canvas.shows(item.start, item.seconds):
            waited, held = cost.get(item.relation, (0.0, 0.0))
            others = item.seconds if isinstance(item, Wait) else 0.0
            cost[item.relation] = (waited + others, held + item.seconds)
    return sorted(cost, key=lambda relation: (*(-part for part in cost[relation]), relation))


def _lane(canvas: Canvas, story: Story, relation: str) -> None:
    own = [item for item in story.blocked if item.relation == relation and canvas.shows(item.start, item.seconds)]
    holds = [item for item in story.holds if item.relation == relation and canvas.shows(item.start, item.seconds)]
    waits = [item for item in story.waits if item.relation == relation and canvas.shows(item.start, item.seconds)]
    top = canvas.y
    canvas.y += 8
    canvas.text(8, canvas.y + 14, _cut(relation or "(not told)", 27), "name")
    for hold in sorted(holds, key=lambda item: -item.seconds):
        _hold(canvas, hold)
    for wait in own:
        _own_wait(canvas, wait)
    canvas.y += ROW + GAP
    if own:
        _caption(canvas, max(own, key=lambda item: item.seconds))
    told = _told(waits)
    if told:
        canvas.text(8, canvas.y + 9, told, "dim")
    rows, left = _stacked(waits)
    for row in rows:
        for other in row:
            _other(canvas, other, story)
        canvas.y += THIN + GAP
    if left:
        canvas.text(GUTTER, canvas.y + 9, f"and {left} more", "dim")
    canvas.y = max(canvas.y + (14 if left else 0), top + 46) + 8
    canvas.parts.append(f'<line class="rule" x1="0" x2="{WIDTH}" y1="{canvas.y:.1f}" y2="{canvas.y:.1f}"/>')


def _told(waits: Sequence[Wait]) -> str:
    if not waits:
        return ""
    longest = readable(max(wait.seconds for wait in waits))
    return f"{len(waits)} waited, up to {longest}" if len(waits) > 1 else f"1 waited {longest}"


def _hold(canvas: Canvas, hold: Hold) -> None:
    mode = mode_for_people(hold.mode)
    look = "hold strong" if hold.mode in ("AccessExclusiveLock", "ExclusiveLock") else "hold"
    left, width = canvas.bar(
        hold.start, hold.seconds, ROW, look, f"held {mode} for {readable(hold.seconds)} (pid {hold.pid})"
    )
    words = f"{mode}, {readable(hold.seconds)}"
    if len(words) * CHARACTER + 12 < width:
        canvas.text(left + 7, canvas.y + 14, words, "on-bar")


def _own_wait(canvas: Canvas, own: Blocked) -> None:
    who = "; ".join(messages.blocker(session) for session in own.blockers) or "nobody known"
    mode = mode_for_people(own.mode)
    title = f"the migration waited {readable(own.seconds)} for {mode}, behind {who}"
    left, width = canvas.bar(own.start, own.seconds, ROW, "own", title)
    canvas.parts[-1] = canvas.parts[-1].replace("<rect ", f'<rect fill="url(#hatch-{canvas.name})" ', 1)
    words = f"waits {readable(own.seconds)}"
    if len(words) * CHARACTER + 12 < width:
        canvas.text(left + 7, canvas.y + 14, words, "on-own")


def _caption(canvas: Canvas, own: Blocked) -> None:
    """Who the migration waited for, below the bar."""
    who = messages.blocker(own.blockers[0]) if own.blockers else "nobody known"
    words = _cut(f"behind {who}", 90)
    at = canvas.x(max(own.start, canvas.start))
    on_the_right = at + len(words) * CHARACTER > WIDTH - MARGIN
    if on_the_right:
        at = canvas.x(min(own.start + own.seconds, canvas.end))
    canvas.text(at, canvas.y + 9, words, "behind", "end" if on_the_right else "start")
    canvas.y += 17


def _other(canvas: Canvas, wait: Wait, story: Story) -> None:
    who = messages.who(wait.user, wait.application, wait.pid)
    look = "wait over" if story.over_budget(wait.seconds) else "wait"
    title = f"{who} waited {readable(wait.seconds)} for {mode_for_people(wait.mode)}: {wait.query}"
    canvas.bar(wait.start, wait.seconds, THIN, look, title)


def _stacked(waits: Sequence[Wait]) -> tuple[list[list[Wait]], int]:
    """Rows without overlaps, as they came; of too many the longest stay, and how many have no place."""
    kept = sorted(waits, key=lambda wait: -wait.seconds)
    rows: list[list[Wait]] = []
    left = 0
    for wait in sorted(kept, key=lambda item: (item.start, -item.seconds)):
        row = next((row for row in rows if row[-1].start + row[-1].seconds <= wait.start), None)
        if row is not None:
            row.append(wait)
        elif len(rows) < STACK:
            rows.append([wait])
        else:
            left += 1
    return rows, left


def _curve(canvas: Canvas, curve: Curve) -> None:
    """A small line with its highest value beside it."""
    height, points = 34.0, [point for point in curve.points if canvas.start <= point[0] <= canvas.end]
    if len(points) < 4:  # a picture of so little would say more than is known
        return
    canvas.y += 10
    bottom = canvas.y + height
    spots = " ".join(f"{canvas.x(at)},{bottom - height * min(value / curve.top, 1.0):.1f}" for at, value in points)
    first, last = canvas.x(points[0][0]), canvas.x(points[-1][0])
    canvas.parts.append(
        f'<polygon class="area {curve.look}" points="{first},{bottom:.1f} {spots} {last},{bottom:.1f}"/>'
    )
    canvas.parts.append(f'<polyline class="curve {curve.look}" points="{spots}"/>')
    canvas.text(8, canvas.y + 14, curve.name, "name")
    canvas.text(8, canvas.y + 29, curve.highest, "dim")
    canvas.y = bottom + 8
    canvas.parts.append(f'<line class="rule" x1="0" x2="{WIDTH}" y1="{canvas.y:.1f}" y2="{canvas.y:.1f}"/>')


def _frame(canvas: Canvas, story: Story, top: float) -> str:
    """What lies behind the bars: the time's grid; and above them: where the migration was stopped."""
    grid = Canvas(canvas.start, canvas.end, canvas.name)
    for at in ticks(canvas.start, canvas.end):
        grid.line(at, top - 6, canvas.y, "grid")
        grid.text(grid.x(at), top - 13, _moment(at, canvas), "tick", "middle")
    groups: list[list[tuple[float, str]]] = []
    for at, stop in story.stops:
        if not canvas.shows(at, 0.0):
            continue
        canvas.line(at, top - 6, canvas.y, "stop")
        word = "terminated" if stop.what == "terminate" else "cancelled"
        if groups and canvas.x(at) - canvas.x(groups[-1][-1][0]) < 130:
            groups[-1].append((at, word))
        else:
            groups.append([(at, word)])
    for group in groups:
        times = f" ({len(group)} times)" if len(group) > 1 else ""
        words = f"{group[0][1]} at {group[0][0]:.1f} s{times}"
        x = canvas.x(group[0][0])
        fits = x + len(words) * CHARACTER + 14 < WIDTH
        width = len(words) * CHARACTER + 14
        left = x if fits else x - width
        canvas.parts.append(f'<rect class="flag" x="{left:.1f}" y="8" width="{width:.1f}" height="19" rx="3"/>')
        canvas.text(left + 7, 21.5, words, "on-flag")
        canvas.parts.append(f'<line class="stop" x1="{x}" x2="{x}" y1="8" y2="{top - 6:.1f}"/>')
    return "".join(grid.parts)


def _legend(canvas: Canvas, y: float) -> None:
    entries = (
        ("hold strong", "held, blocks readers"),
        ("hold", "held, blocks writers or changes"),
        ("own", "migration waits"),
        ("wait", "others wait"),
        ("wait over", "beyond the budget"),
    )
    x = GUTTER
    for look, words in entries:
        fill = f' fill="url(#hatch-{canvas.name})"' if look == "own" else ""
        canvas.parts.append(f'<rect{fill} class="{look}" x="{x:.1f}" y="{y - 9:.1f}" width="14" height="10" rx="2"/>')
        canvas.text(x + 20, y, words, "dim")
        x += 32 + len(words) * CHARACTER


def ticks(start: float, end: float) -> list[float]:
    """Between five and twelve round moments."""
    rough = (end - start) / 8
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    if step >= 10:  # people count minutes by sixty
        step = next(
            (nice for nice in (10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400) if nice >= rough), step
        )
    first = floor(start / step) * step
    return [round(first + n * step, 6) for n in range(20) if start <= first + n * step <= end]


def _moment(at: float, canvas: Canvas) -> str:
    if canvas.end - canvas.start >= 600:
        return f"{at / 60:g} min"
    return f"{at:.8g} s"


def _cut(words: str, limit: int) -> str:
    return words if len(words) <= limit else f"{words[: limit - 1]}…"
