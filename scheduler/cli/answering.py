"""How a command that looks at the board by itself answers: also where it cannot."""

from collections.abc import Callable
from typing import Final

from scheduler.blackboard.errors import BoardBusy, BoardError
from scheduler.cli.printing import print_json
from scheduler.wire import error_json
from shared.errors import StartError

NOT_FOUND: Final = 3
UNAVAILABLE: Final = 5
BUSY: Final = 75
_CODES: Final = {NOT_FOUND: "not_found", UNAVAILABLE: "unavailable", BUSY: "busy"}


def answer(show: Callable[[], None], *, in_json: bool) -> int:
    """`show` prints; the exit code. Raises StartError, which with JSON is printed instead."""
    try:
        try:
            show()
        except BoardError as error:
            code = BUSY if isinstance(error, BoardBusy) else UNAVAILABLE
            raise StartError(str(error), exit_code=code) from error
    except StartError as error:
        if not in_json:
            raise
        print_json(error_json(_CODES.get(error.exit_code, "invalid"), "; ".join(error.lines)))
        return error.exit_code
    return 0
