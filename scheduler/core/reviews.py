"""A task that judges another one: how it is put, and how its result is read."""

import json
from collections.abc import Sequence
from typing import Final

from scheduler.core.records import Verdict
from scheduler.core.task import MAX_TITLE, Draft, Task

_MAX_ASKED: Final = 20_000  # characters; the card itself has them all
_MAX_OUTPUTS: Final = 100  # the newest
_SCHEMA_WORDS: Final = '{"decision": "accept" or "rework", "reason": "one or two sentences"}'


def review_draft(task: Task, judge: str, outputs: Sequence[str]) -> Draft:
    """The task for `judge`; `outputs` are the paths of what was handed in."""
    listed = "\n".join(f"- {path}" for path in outputs[-_MAX_OUTPUTS:])
    return Draft(
        title=f"Review {task.id}: {task.title}"[:MAX_TITLE],
        description=(
            f"Judge what {task.claimant or 'another agent'} handed in for {task.id}.\n"
            f"Hand in one JSON object as your final output, and nothing else: {_SCHEMA_WORDS}\n\n"
            f"What was handed in:\n{listed}\n\n"
            f"What was asked for:\n{(task.description or task.title)[:_MAX_ASKED]}"
        ),
        priority=task.priority,
        creator=task.creator,
        assignee=judge,
        expects=("json",),
        review_of=task.id,
    )


def review_verdict(text: str) -> tuple[Verdict, str]:
    """What the judge wrote. An answer that says neither of the two sends nothing through: it is a rework."""
    try:
        said = json.loads(text)
        verdict, reason = Verdict(said["decision"]), str(said.get("reason") or "")
    except (ValueError, TypeError, KeyError, RecursionError):
        return Verdict.REWORK, "the review could not be read"
    if verdict not in {Verdict.ACCEPT, Verdict.REWORK}:
        return Verdict.REWORK, "the review could not be read"
    return verdict, reason
