"""The states of a task, and every way from one to another.

The rule: this table is the only place that knows. What the statements update, what `docs/task-states.md` says
and what the tests walk through is derived from it.

A task waits (`pending`) until an agent holds a claim on it (`claimed`), has written something (`working`) and
has handed in a final output (`review`), which a check or a person accepts (`done`). `blocked` waits for a
person or for a dependency, `failed` for somebody who tries again.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from scheduler.core.errors import Code, Refused


class Status(StrEnum):
    """Where a task is."""

    PENDING = "pending"
    CLAIMED = "claimed"
    WORKING = "working"
    REVIEW = "review"
    DONE = "done"
    BLOCKED = "blocked"
    FAILED = "failed"


class Move(StrEnum):
    """What takes a task from one state to another."""

    CLAIM = "claim"
    """an agent takes it, or the daemon takes it for one"""
    FIRST_WRITE = "first_write"
    """the holder of the claim says anything at all"""
    SUBMIT = "submit"
    """a final output"""
    RELEASE = "release"
    """the holder gives it back"""
    EXPIRE = "expire"
    """the lease of a claim without a run has ended"""
    NEVER_STARTED = "never_started"
    """claimed for a run that provably never began"""
    NO_RESULT = "no_result"
    """the run ended and left nothing behind"""
    RECOVER = "recover"
    """the run stood still for too long and was stopped"""
    ACCEPT = "accept"
    REWORK = "rework"
    """not good enough, and the run that made it still lives"""
    REWORK_LATER = "rework_later"
    """not good enough, and somebody has to begin anew"""
    BLOCK = "block"
    UNBLOCK = "unblock"
    FAIL = "fail"
    RETRY = "retry"


_HELD: Final = {
    Move.RELEASE: Status.PENDING,
    Move.EXPIRE: Status.PENDING,
    Move.NO_RESULT: Status.PENDING,
    Move.RECOVER: Status.PENDING,
    Move.BLOCK: Status.BLOCKED,
    Move.FAIL: Status.FAILED,
}

TABLE: Final[Mapping[Status, Mapping[Move, Status]]] = MappingProxyType(
    {
        Status.PENDING: {
            Move.CLAIM: Status.CLAIMED,
            Move.BLOCK: Status.BLOCKED,
            Move.FAIL: Status.FAILED,
        },
        Status.CLAIMED: {
            Move.FIRST_WRITE: Status.WORKING,
            Move.NEVER_STARTED: Status.PENDING,
            **_HELD,
        },
        Status.WORKING: {Move.SUBMIT: Status.REVIEW, **_HELD},
        Status.REVIEW: {
            Move.ACCEPT: Status.DONE,
            Move.REWORK: Status.WORKING,
            Move.REWORK_LATER: Status.PENDING,
            Move.FAIL: Status.FAILED,
        },
        Status.BLOCKED: {Move.UNBLOCK: Status.PENDING, Move.FAIL: Status.FAILED},
        Status.FAILED: {Move.RETRY: Status.PENDING},
        Status.DONE: {},
    }
)

HELD: Final = frozenset({Status.CLAIMED, Status.WORKING})
"""A claim is alive: exactly one agent may write."""

OPEN: Final = frozenset(Status) - {Status.DONE, Status.FAILED}
"""Somebody or something still has to act."""

CLOSED: Final = frozenset({Status.DONE, Status.FAILED})
"""May be archived."""


def after(status: Status, move: Move) -> Status:
    """Where `move` leads from `status`; raises Refused (`illegal_transition`) where the table has no way."""
    try:
        return TABLE[status][move]
    except KeyError:
        raise Refused(
            Code.ILLEGAL_TRANSITION, f"a task that is {status} cannot {_WORDS.get(move, move)}"
        ) from None


_WORDS: Final = {
    Move.CLAIM: "be claimed",
    Move.FIRST_WRITE: "be worked on",
    Move.SUBMIT: "take a final output",
    Move.RELEASE: "be released",
    Move.ACCEPT: "be accepted",
    Move.REWORK: "be sent back",
    Move.REWORK_LATER: "be sent back",
    Move.BLOCK: "be blocked",
    Move.UNBLOCK: "be taken back to pending",
    Move.FAIL: "fail",
    Move.RETRY: "be tried again",
}


def sources(move: Move) -> frozenset[Status]:
    """The states that `move` is possible in: for conditions in statements."""
    return frozenset(status for status, row in TABLE.items() if move in row)
