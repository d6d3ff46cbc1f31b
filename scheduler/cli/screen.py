"""What is shown over and over on one terminal: each picture is drawn over the one before, without flicker.

The rule: no line is wider than the terminal and none stands below it, else it would scroll. That something
is cut can be seen.
"""

import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Final

_CLEAR: Final = "\x1b[2J"
_HOME: Final = "\x1b[H"
_TO_LINE_END: Final = "\x1b[K"
_TO_SCREEN_END: Final = "\x1b[J"


class _Canvas(io.StringIO):
    """Is printed on as if it were the terminal, so tables are drawn for it."""

    def isatty(self) -> bool:
        return True


class Screen:
    """Owner of the terminal while something is shown."""

    def __init__(self) -> None:
        self._is_fresh = True

    def show(self, draw: Callable[[], None]) -> None:
        """What `draw` prints, in one piece."""
        from rich.console import Console  # noqa: PLC0415 - nobody looks at a pipe
        from rich.text import Text  # noqa: PLC0415 - likewise

        canvas, cut = _Canvas(), _Canvas()
        with redirect_stdout(canvas):
            draw()
        console = Console(file=cut, highlight=False)
        lines = canvas.getvalue().splitlines()
        room = max(1, console.height - 1)  # the cursor stands in the last line
        if len(lines) > room:
            lines[room - 1 :] = [f"… and {len(lines) - room + 1} more lines: this terminal is too low"]
        for line in lines:
            console.print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis", crop=True)
        picture = cut.getvalue().replace("\n", f"{_TO_LINE_END}\n")
        sys.stdout.write(f"{_CLEAR if self._is_fresh else ''}{_HOME}{picture}{_TO_SCREEN_END}")
        sys.stdout.flush()
        self._is_fresh = False
