"""What a refusal is called, over HTTP and as an exit code: one table for both ways to the board."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from scheduler.blackboard.errors import BoardBusy, BoardError
from scheduler.core.errors import Code, Refused

UNAVAILABLE: Final = "database_unavailable"
BUSY: Final = "busy"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one word is said to a client and to a shell."""

    status: int
    exit_code: int


_NOT_FOUND: Final = Outcome(404, 3)
_CONFLICT: Final = Outcome(409, 4)

OUTCOMES: Final[Mapping[str, Outcome]] = MappingProxyType(
    {
        Code.NOT_FOUND: _NOT_FOUND,
        Code.NOTHING_CLAIMABLE: _NOT_FOUND,
        Code.INVALID: Outcome(422, 2),
        Code.FORBIDDEN: Outcome(403, 4),
        Code.ALREADY_CLAIMED: _CONFLICT,
        Code.STALE_CLAIM: _CONFLICT,
        Code.DEPENDENCY_UNMET: _CONFLICT,
        Code.NOT_ASSIGNEE: _CONFLICT,
        Code.ILLEGAL_TRANSITION: _CONFLICT,
        Code.APPROVAL_REQUIRED: _CONFLICT,
        UNAVAILABLE: Outcome(503, 5),
        BUSY: Outcome(503, 75),
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Nothing came of it, and why: `code` and `message` are `{"error":{…}}`."""

    code: str
    message: str
    outcome: Outcome


def failure(error: Refused | BoardError) -> Failure:
    """What `perform` may raise, as it is told to whoever asked."""
    if isinstance(error, Refused):
        code, message = str(error.code), error.message
    else:
        code, message = (BUSY if isinstance(error, BoardBusy) else UNAVAILABLE), str(error)
    return Failure(code, message, OUTCOMES[code])
