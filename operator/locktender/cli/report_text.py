"""A MigrationReport as text for a terminal."""

from collections.abc import Iterator
from dataclasses import dataclass

from locktender.api.duration import readable
from locktender.cli.story import Story
from locktender.cli.units import bytes_for_people, mode_for_people
from locktender.core import messages_report as messages

SHOWN = 8  # of each list: the rest is in the JSON and on the HTML page
_INDENT = "           "


@dataclass(frozen=True)
class Style:
    """Colours, where there is a terminal to show them."""

    colours: bool = False

    def bold(self, text: str) -> str:
        """Stands out."""
        return self._in("1", text)

    def good(self, text: str) -> str:
        """All is well."""
        return self._in("32", text)

    def bad(self, text: str) -> str:
        """It is not."""
        return self._in("31", text)

    def dim(self, text: str) -> str:
        """Of less weight."""
        return self._in("2", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text


def text(story: Story, style: Style) -> str:
    """The whole page."""
    return "\n".join([*_head(story, style), *_numbers(story), *_lists(story, style), *_next(story, style)]) + "\n"


def _head(story: Story, style: Style) -> Iterator[str]:
    yield style.bold(f"Migration {story.migration}, run {story.run}, attempt {story.attempt}")
    began = f"began {story.began}, " if story.began else ""
    image = f", image {story.image}" if story.image else ""
    release = f", release {story.release}" if story.release else ""
    yield style.dim(f"{began}watched for {readable(story.seconds)}{image}{release}")
    yield ""
    said = messages.headline(story.cause, story.worst_wait, story.wait_count)
    yield style.bad(said) if story.cause else style.good(said)
    if not story.complete:
        yield messages.incomplete()


def _numbers(story: Story) -> Iterator[str]:
    yield ""
    budget = f"   (budget {readable(story.budget)})" if story.budget is not None else ""
    rows = [
        ("longest wait of another session", f"{readable(story.worst_wait)}{budget}"),
        (
            "waits of others together",
            " in ".join(messages.together(story.blocked_seconds, story.wait_count, story.queue)),
        ),
        ("longest wait of the migration", readable(story.own_wait)),
        ("write-ahead log", bytes_for_people(story.wal_bytes)),
    ]
    if story.lag_bytes:
        rows.append(("furthest replica behind", bytes_for_people(story.lag_bytes)))
    if story.deadlocks:
        rows.append(("deadlocks", str(story.deadlocks)))
    yield from (f"  {name:<33}{value}" for name, value in rows)


def _lists(story: Story, style: Style) -> Iterator[str]:
    if story.blocked:
        yield from ("", style.bold("What the migration waited for"))
    for own in story.worst_blocked[:SHOWN]:
        yield f"  {readable(own.seconds):>7}  {_lock(own.mode, own.relation)}, from {own.start:.1f} s"
        for session in own.blockers:
            yield f"{_INDENT}held up by {messages.blocker(session)}"
            if session.query:
                yield style.dim(f"{_INDENT}  {session.query}")
    if story.waits:
        yield from ("", style.bold("Who waited for the migration"))
    for wait in story.worst_waits[:SHOWN]:
        who = messages.who(wait.user, wait.application, wait.pid)
        yield f"  {readable(wait.seconds):>7}  {who}: {_lock(wait.mode, wait.relation)}, from {wait.start:.1f} s"
        if wait.query:
            yield style.dim(f"{_INDENT}{wait.query}")
    if story.holds:
        yield from ("", style.bold("What the migration held"))
    for hold in sorted(story.holds, key=lambda item: -item.seconds)[:SHOWN]:
        yield f"  {readable(hold.seconds):>7}  {_lock(hold.mode, hold.relation)}, from {hold.start:.1f} s"
    if story.stops:
        yield from ("", style.bold("What was stopped"))
    for at, stop in story.stops[:SHOWN]:
        yield f"  {at:>5.1f} s  {style.bad(messages.stopped(stop))}"
        if stop.statement:
            yield style.dim(f"{_INDENT}{stop.statement}")
    if story.left:
        yield from ("", style.dim(messages.more_left(story.left)))


def _next(story: Story, style: Style) -> Iterator[str]:
    yield from ("", style.bold("Next"))
    for sentence in messages.advice(story.cause, story.worst_blocked, story.migration, story.namespace or "NAMESPACE"):
        yield f"  {sentence}"
    if story.name:
        place = f" -n {story.namespace}" if story.namespace else ""
        yield f"  As a page with a picture: locktender report {story.name}{place} -o html > report.html"


def _lock(mode: str, relation: str) -> str:
    return f"{mode_for_people(mode)} on {relation}" if relation else mode_for_people(mode)
