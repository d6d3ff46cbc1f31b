"""The one way in which a command ends without having done what was asked."""

from typing import Final

USAGE: Final = "usage"


class ToldError(Exception):
    """Why not, in the words of `{"error":{"code","message"}}`, and the exit code that says it to a shell."""

    def __init__(self, code: str, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.exit_code = exit_code


def wrong_usage(message: str) -> ToldError:
    """The command line itself is wrong: exit code 2."""
    return ToldError(USAGE, message, 2)
