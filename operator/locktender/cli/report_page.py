"""A MigrationReport as one HTML page: no script, nothing from elsewhere, every text escaped."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from locktender.api.duration import readable
from locktender.cli import report_picture
from locktender.cli.story import Story
from locktender.cli.units import bytes_for_people, mode_for_people
from locktender.core import messages_report as messages

ROWS = 50  # of each table


def page(story: Story) -> str:
    """The whole document."""
    style = (files("locktender.cli") / "report.css").read_text(encoding="utf-8")
    title = escape(f"{story.migration}: migration report")
    body = "".join(
        (
            _head(story),
            _tiles(story),
            *(_section(name, f'<div class="picture">{svg}</div>') for name, svg in report_picture.pictures(story)),
            *_tables(story),
            _section("Next", "".join(f"<p>{_commands(line)}</p>" for line in _next(story))),
            f"<footer>{escape(_footer(story))}</footer>",
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>{body}</main>\n</body>\n</html>\n"
    )


def _head(story: Story) -> str:
    facts = [f"run {story.run}", f"attempt {story.attempt}"]
    facts += [f"image {story.image}"] if story.image else []
    facts += [f"release {story.release}"] if story.release else []
    facts += [f"began {story.began}"] if story.began else []
    facts += [f"PostgreSQL {story.server}"] if story.server else []
    said = messages.headline(story.cause, story.worst_wait, story.wait_count)
    look = "bad" if story.cause else "good"
    note = "" if story.complete else f'<p class="note">{escape(messages.incomplete())}</p>'
    place = f"{escape(story.namespace)} / " if story.namespace else ""
    return (
        f'<header><p class="place">{place}migration report</p><h1>{escape(story.migration)}</h1>'
        f'<p class="facts">{escape(" · ".join(facts))}</p><p class="verdict {look}">{escape(said)}</p>{note}</header>'
    )


def _tiles(story: Story) -> str:
    budget = f"budget {readable(story.budget)}" if story.budget is not None else "of another session"
    over = story.over_budget(story.worst_wait)
    stopped = {0: "not stopped", 1: "stopped once"}.get(len(story.stops), f"stopped {len(story.stops)} times")
    tiles = [
        ("Longest wait of others", readable(story.worst_wait), budget, "bad" if over else ""),
        (
            "Waits of others together",
            *messages.together(story.blocked_seconds, story.wait_count, story.queue),
            "",
        ),
        ("Its own longest wait", readable(story.own_wait), "for a lock", ""),
        ("Watched for", readable(story.seconds), stopped, ""),
        (
            "Write-ahead log",
            bytes_for_people(story.wal_bytes),
            f"replica up to {bytes_for_people(story.lag_bytes)} behind" if story.lag_bytes else "written meanwhile",
            "",
        ),
    ]
    if story.deadlocks:
        tiles.append(("Deadlocks", str(story.deadlocks), "counted by the database", "bad"))
    made = (
        f'<div class="tile {look}"><span>{escape(name)}</span><b>{escape(value)}</b><small>{escape(more)}</small></div>'
        for name, value, more, look in tiles
    )
    return f'<div class="tiles">{"".join(made)}</div>'


def _tables(story: Story) -> Iterable[str]:
    if story.stops:
        stops = ((f"{at:.1f} s", messages.stopped(stop), stop.statement) for at, stop in story.stops)
        yield _section("What was stopped", _table(("At", "What", "Statement"), stops, code=2))
    if story.blocked:
        own = (
            (
                readable(wait.seconds),
                f"{wait.start:.1f} s",
                f"{mode_for_people(wait.mode)} on {wait.relation}",
                "; ".join(messages.blocker(session) for session in wait.blockers),
                next((session.query for session in wait.blockers if session.query), ""),
            )
            for wait in story.worst_blocked
        )
        heads = ("Waited", "From", "For", "Behind", "Their query")
        yield _section("What the migration waited for", _table(heads, own, code=4))
    if story.waits:
        others = (
            (
                readable(wait.seconds),
                f"{wait.start:.1f} s",
                messages.who(wait.user, wait.application, wait.pid),
                f"{mode_for_people(wait.mode)} on {wait.relation}",
                wait.query,
            )
            for wait in story.worst_waits
        )
        yield _section(
            "Who waited for the migration", _table(("Waited", "From", "Who", "For", "Query"), others, code=4)
        )
    if story.holds:
        holds = (
            (readable(hold.seconds), f"{hold.start:.1f} s", mode_for_people(hold.mode), hold.relation)
            for hold in sorted(story.holds, key=lambda item: -item.seconds)
        )
        yield _section("What the migration held", _table(("Held", "From", "Lock", "On"), holds))


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], code: int = -1) -> str:
    """A table; the column `code` holds SQL."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = ""
    everything = list(rows)
    for row in everything[:ROWS]:
        cells = (
            f"<td><code>{escape(cell)}</code></td>" if n == code else f"<td>{escape(cell)}</td>"
            for n, cell in enumerate(row)
        )
        body += f"<tr>{''.join(cells)}</tr>"
    more = f"<p>{len(everything) - ROWS} more are in the JSON.</p>" if len(everything) > ROWS else ""
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'


def _section(name: str, content: str) -> str:
    return f"<section><h2>{escape(name)}</h2>{content}</section>"


def _next(story: Story) -> Sequence[str]:
    return messages.advice(story.cause, story.worst_blocked, story.migration, story.namespace or "NAMESPACE")


def _commands(sentence: str) -> str:
    """The command at a sentence's end in a type of its own."""
    words, colon, command = sentence.partition(": kubectl ")
    return f"{escape(words)}: <code>kubectl {escape(command)}</code>" if colon else escape(sentence)


def _footer(story: Story) -> str:
    left = f"{messages.more_left(story.left)} " if story.left else ""
    return f"{left}Seconds count from the moment the fence was held. Queries are without their values. MigrationReport {story.name}"
