"""Who is to be told of what: once for each cause, target and claim of a task."""

from dataclasses import dataclass

from scheduler.core.records import Notice
from scheduler.core.task import Task

CREATOR = "creator"
"""Where targets are named: whoever created the task, by the target of that name."""


@dataclass(frozen=True, slots=True)
class Unsent:
    """A notice that nobody has been told yet, as it stands in the outbox."""

    number: int
    notice: Notice
    tries: int = 0
    """how often telling it has failed"""
    next_try_at: float | None = None
    """not before then; None: as soon as it may go"""


def notices(task: Task, to: tuple[str, ...], cause: str, text: str, now: float) -> tuple[Notice, ...]:
    """One for each target; `creator` is the task's own."""
    return tuple(
        Notice(
            to=f"{CREATOR}:{task.creator}" if each == CREATOR else each,
            cause=f"{task.id}.{task.epoch}:{cause}:{each}",
            text=f"{task.id} {task.title}: {text}",
            at=now,
        )
        for each in to
    )
