"""A report in Markdown, as GitHub and most chats read it."""

import re
from collections.abc import Iterator
from typing import Final

from scheduler.cli.printing import clean
from scheduler.report.model import Report
from scheduler.report.sections import Section, heading, sections, summary
from scheduler.report.times import Clock

_MARKUP: Final = re.compile(r"([\\`*_\[\]<>|~&#!$])")
# What renderers turn into links by themselves.
_LINK: Final = re.compile(r"(?i)(?<=:)//|(?<=\bwww)\.|(?<=\w)@")


def as_markdown(report: Report, clock: Clock) -> str:
    """No markup and no link in the words of others means anything."""
    return "\n".join(_lines(report, clock))


def escaped(text: str) -> str:
    """`text` as it is, wherever it stands in a line that begins with our own words."""
    return _LINK.sub(lambda found: f"\\{found[0]}", _MARKUP.sub(r"\\\1", clean(text)))


def _lines(report: Report, clock: Clock) -> Iterator[str]:
    yield f"# {escaped(heading(report, clock))}"
    yield ""
    yield escaped(summary(report))
    for section in sections(report, clock):
        yield ""
        yield f"## {section.title}"
        yield ""
        for line in section.lines:
            yield f"- {escaped(line.words)}" + (f" (`{clean(line.command)}`)" if line.command else "")
        if section.more > 0:
            yield f"- … and {section.more:,} more"
        yield from _table(section)
        if section.note:
            yield ""
            yield escaped(section.note)


def _table(section: Section) -> Iterator[str]:
    if not section.rows:
        return
    yield _row(section.heads)
    yield _row(("---", *("---:" for _ in section.heads[1:])), plain=True)
    for row in section.rows:
        yield _row(row)


def _row(cells: tuple[str, ...], *, plain: bool = False) -> str:
    return f"| {' | '.join(cell if plain else escaped(cell) for cell in cells)} |"
