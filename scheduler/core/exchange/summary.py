"""What a task source is told when a task is done: who did it, in how many turns, and what came of it."""

from collections.abc import Sequence
from typing import Final

from scheduler.core.records import Attempt, Output
from scheduler.core.task import Task

MOST_CHARACTERS: Final = 4_000
"""Of the result itself: more is a file to be fetched."""


def summary(task: Task, attempt: Attempt | None, outputs: Sequence[Output], text: str) -> str:
    """`text`: the final output, as far as it can be read."""
    turns = max(task.turns, attempt.turns if attempt is not None else 0)
    who = attempt.agent if attempt is not None else "the scheduler"
    spent = f" in {turns} {'turn' if turns == 1 else 'turns'}" if turns else ""
    lines = [f"Done by {who}{spent} ({task.id})."]
    if outputs:
        lines.append("Handed in: " + ", ".join(dict.fromkeys(each.name for each in outputs)) + ".")
    if text.strip():
        cut = text.strip()
        lines += ["", cut if len(cut) <= MOST_CHARACTERS else cut[: MOST_CHARACTERS - 1] + "…"]
    return "\n".join(lines)
