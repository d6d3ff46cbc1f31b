"""The fence: a claim token, and whether it still opens anything.

A claim is a lease with an epoch. The token names the task, the epoch and a secret that is shown once and
stored as a hash. Whoever wakes after another epoch has begun, or after its lease has ended, changes nothing:
that is the promise, and `holder` is the one place that keeps it.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from scheduler.core.errors import Code, Refused
from scheduler.core.states import HELD, Status
from scheduler.core.task import Task

_TOKEN: Final = re.compile(r"(T-[0-9]{4,15})\.([0-9]{1,9})\.([A-Za-z0-9_-]{16,128})")
_WRITES: Final = HELD | {Status.REVIEW}
"""In review the holder may still comment, and has its claim back when the work is sent back."""


@dataclass(frozen=True, slots=True)
class ClaimToken:
    """`T-0042.3.<secret>`."""

    task: str
    epoch: int
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.task}.{self.epoch}.{self.secret}"

    @property
    def hash(self) -> str:
        """What is stored in its place. Not salted: the secret is drawn by us, and long."""
        return hash_of(self.secret)


def hash_of(secret: str) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parse_token(text: str) -> ClaimToken:
    """Raises Refused (`invalid`) for what never was a claim token; says nothing of what it was."""
    match = _TOKEN.fullmatch(text.strip())
    if match is None:
        raise Refused(Code.INVALID, "that is not a claim token: they look like T-0042.3.secret")
    return ClaimToken(match[1], int(match[2]), match[3])


def expired(task: Task, now: float) -> bool:
    """A claim by hand whose lease has ended. A run holds its claim without one."""
    return task.held and task.lease_until is not None and now >= task.lease_until


def holder(task: Task, token: ClaimToken, now: float) -> str:
    """The agent that `token` speaks for; raises Refused (`stale_claim`) where its time is over."""
    if token.task != task.id:
        raise Refused(Code.STALE_CLAIM, f"the claim is for {token.task}, not for {task.id}")
    if (
        task.status not in _WRITES
        or task.claimant is None
        or token.epoch != task.epoch
        or not hmac.compare_digest(token.hash, task.claim_hash or "")
    ):
        raise Refused(Code.STALE_CLAIM, f"the claim on {task.id} is over: it is {task.status} now")
    if expired(task, now):
        raise Refused(Code.STALE_CLAIM, f"the lease on {task.id} has ended")
    return task.claimant
