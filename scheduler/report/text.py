"""A report for a terminal, a log, a chat: plain lines."""

from collections.abc import Iterator

from scheduler.cli.printing import clean, columns
from scheduler.report.model import Report
from scheduler.report.sections import heading, sections, summary
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
        if section.rows:
            yield from (f"  {line}" for line in columns(section.heads, section.rows))
        if section.note:
            yield f"  {section.note}"
