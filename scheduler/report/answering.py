"""What a command that makes one text prints, also where it cannot be made."""

import sys
from collections.abc import Callable
from typing import Final

from scheduler.cli.printing import print_json
from scheduler.wire import error_json
from shared.errors import StartError

UNAVAILABLE: Final = 5
BUSY: Final = 75
_CODES: Final = {UNAVAILABLE: "unavailable", BUSY: "busy"}


def answer(make: Callable[[], str], *, in_json: bool) -> int:
    """The exit code. Raises StartError, which with JSON is printed instead."""
    try:
        text = make()
    except StartError as error:
        if not in_json:
            raise
        print_json(error_json(_CODES.get(error.exit_code, "invalid"), "; ".join(error.lines)))
        return error.exit_code
    sys.stdout.write(f"{text}\n")
    return 0
