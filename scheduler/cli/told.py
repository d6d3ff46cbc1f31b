"""The one way in which a command ends without having done what was asked."""

from math import isfinite
from typing import Final

USAGE: Final = "usage"


class ToldError(Exception):
    """Why not, in the words of `{"error":{"code","message"}}`, and the exit code that says it to a shell."""

    def __init__(self, code: str, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.exit_code = exit_code


def whole_number(option: str, text: str | None) -> int | None:
    """What stands after an option that takes a number; None where it was not given. Raises ToldError."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise wrong_usage(f"{option} takes a whole number") from error


def seconds(option: str, text: str | None) -> float | None:
    """The same for a duration."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise wrong_usage(f"{option} takes a number of seconds")
    return number


def wrong_usage(message: str) -> ToldError:
    """The command line itself is wrong: exit code 2."""
    return ToldError(USAGE, message, 2)
