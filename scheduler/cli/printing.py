"""What commands print: JSON for programs, tables and sentences for people.

The rule: text of others is data. Its control characters are shown, not sent to a terminal, and no markup in
it means anything. To a terminal tables are drawn by rich, and what is too long for it goes on below itself,
reasons first and ids never; into a pipe they are plain columns. Nothing is ever cut.
"""

import json
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from scheduler.core.durations import in_words
from scheduler.wire import parse_time

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Controls, formatting (text that runs backwards, for one), halves of surrogates, line separators."""

COLOURS: Final[Mapping[str, str]] = {
    "pending": "white",
    "claimed": "cyan",
    "working": "cyan",
    "review": "magenta",
    "done": "green",
    "blocked": "yellow",
    "failed": "red",
    "ok": "green",
    "warn": "yellow",
    "bad": "red",
}


_REASONS: Final = frozenset({"BECAUSE", "REASON", "REVIEW", "WAITING FOR", "WHAT"})
_TITLES: Final = frozenset({"TITLE"})
_COMMANDS: Final = frozenset({"WHAT HELPS", "WHAT NEXT"})
_PLACES: Final = frozenset({"PLACE"})
_NARROWED: Final = (
    (_REASONS, 16),
    (_TITLES, 20),
    (_COMMANDS, 16),
    (_REASONS, 10),
    (_COMMANDS, 10),
    (_PLACES, 8),
    (_TITLES, 10),
)
"""Which columns give way, and down to what, one after the other; all others never do."""
_GAP: Final = 2
_SOON_SECONDS: Final = 120


def clean(text: str, *, keep: str = "") -> str:
    """`text` as it may go to a terminal; `keep`: characters that stay though they are controls."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _HIDDEN
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in text
    )


def say(text: str = "") -> None:
    """One line, or several; controls but line ends are shown as what they are."""
    sys.stdout.write(f"{clean(text, keep=chr(10))}\n")


def print_json(value: object) -> None:
    """On one line. Everything but ASCII is escaped, so no terminal and no locale can stumble over it."""
    sys.stdout.write(f"{json.dumps(value)}\n")


def warn(text: str) -> None:
    """For people, beside the answer."""
    sys.stderr.write(f"{clean(text)}\n")


def terminal_width() -> int | None:
    """None: a program reads."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def folded(line: str, width: int | None) -> str:
    """A sentence that goes on below itself; a word that is too long for that (an address) stays whole."""
    if width is None or len(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip())] + "  "
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """One line per row; cells that hold several lines are put on one."""
    cells = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty() and _draw(heads, cells, title):
        return
    widths = [max(len(cell) for cell in column) for column in zip(heads, *cells, strict=True)]
    if title:
        say(title)
    for row in (heads, *cells):
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        say(line.rstrip())


def columns(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table of figures, which are on the right; the first column is on the left."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for first, *figures in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(figures, widths[1:], strict=True))
        yield "  ".join([f"{first:{widths[0]}}", *cells])


def _draw(heads: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> bool:
    """False: this terminal is too narrow for it."""
    from rich.cells import cell_len  # noqa: PLC0415 - nobody looks at a pipe
    from rich.console import Console  # noqa: PLC0415 - likewise
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    console = Console(highlight=False)
    needed = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    widths = fitted(heads, needed, console.width)
    if widths is None:
        return False
    drawn = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
        box=None,
        padding=(0, _GAP, 0, 0),
        pad_edge=False,
    )
    for head, width in zip(heads, widths, strict=True):
        drawn.add_column(Text(head), width=width, overflow="fold")
    for row in cells:
        drawn.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in row))
    console.print(drawn)
    return True


def fitted(heads: Sequence[str], needed: Sequence[int], room: int) -> list[int] | None:
    """How wide each column is, within `room`; None if that cannot be. Of several the widest gives way."""
    widths = list(needed)
    excess = sum(widths) + _GAP * (len(widths) - 1) - room
    for names, least in _NARROWED:
        columns = [index for index, head in enumerate(heads) if head in names]
        while excess > 0 and columns:
            widest = max(columns, key=lambda index: widths[index])
            if widths[widest] <= max(least, len(heads[widest])):
                break
            widths[widest] -= 1
            excess -= 1
    return None if excess > 0 else widths


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    return clean(" ".join(str(value).split("\n")))


def moment(text: Any) -> str:
    """`2026-03-01T09:30:00.250Z` as people read it: the local time, to the second."""
    if not isinstance(text, str):
        return "-"
    return f"{datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}"


def soon(text: Any, now: float) -> str:
    """`in 20 s`, `13:20`, and with the date on another day; what should have been is told as now."""
    if not isinstance(text, str):
        return "-"
    seconds = int(parse_time(text) - now)
    if seconds < _SOON_SECONDS:
        return f"in {seconds} s" if seconds > 0 else "now"
    then, today = (datetime.fromtimestamp(at).astimezone() for at in (parse_time(text), now))
    return f"{then:%H:%M}" if then.date() == today.date() else f"{then:%Y-%m-%d %H:%M}"


def ago(text: Any, now: float) -> str:
    """`3 min ago`. A moment in the future is told as now: two clocks never agree."""
    if not isinstance(text, str):
        return "-"
    return f"{in_words(now - parse_time(text))} ago"
