"""Who is to be told of what: once for each cause, target and claim of a task."""

from scheduler.core.records import Notice
from scheduler.core.task import Task

CREATOR = "creator"


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
