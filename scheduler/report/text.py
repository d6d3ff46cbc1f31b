"""A report for a terminal, a log, a chat: plain lines."""

from collections.abc import Iterator

from scheduler.cli.printing import clean
from scheduler.report.model import Report
from scheduler.report.sections import Section, heading, sections, summary
from scheduler.report.times import Clock


def as_text(report: Report, clock: Clock) -> str:
    """Control characters of others are shown as what they are."""
    return "\n".join(clean(line) for line in _lines(report, clock))


def _lines(report: Report, clock: Clock) -> Iterator[str]:
    yield heading(report, clock)
    yield summary(report)
    for section in sections(report, clock):
        yield ""
        yield section.title
        for line in section.lines:
            yield f"  {line.words}"
            if line.command:
                yield f"    {line.command}"
        if section.more > 0:
            yield f"  … and {section.more:,} more"
        yield from _table(section)
        if section.note:
            yield f"  {section.note}"


def _table(section: Section) -> Iterator[str]:
    """The first column on the left, figures on the right."""
    if not section.rows:
        return
    table = (section.heads, *section.rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(section.heads))]
    for first, *figures in table:
        cells = [f"{first:{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(figures, widths[1:], strict=True)]
        yield "  " + "  ".join(cells)
