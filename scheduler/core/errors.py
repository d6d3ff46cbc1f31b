"""What the board refuses, and why: the one exception of this core.

Raised by a rule, before anything is changed; whoever carries a transaction lets it roll back and hands the
code on (an exit code of the command line, a status of the API). The message is for whoever asked, and names
nothing secret.
"""

from enum import StrEnum


class Code(StrEnum):
    """Why not. The words are part of the contract with users."""

    NOT_FOUND = "not_found"
    NOTHING_CLAIMABLE = "nothing_claimable"
    INVALID = "invalid"
    """the request itself is wrong"""
    FORBIDDEN = "forbidden"
    """whoever asks may not, in any state of the task"""
    ALREADY_CLAIMED = "already_claimed"
    STALE_CLAIM = "stale_claim"
    """the claim was good once; another epoch has begun"""
    DEPENDENCY_UNMET = "dependency_unmet"
    NOT_ASSIGNEE = "not_assignee"
    ILLEGAL_TRANSITION = "illegal_transition"
    APPROVAL_REQUIRED = "approval_required"


class Refused(Exception):  # noqa: N818 - a rule that says no is no fault
    """The rules do not allow it; nothing was changed."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
