"""What an agent looks after when nobody asks, as a task of its own every so often. Pure.

Off unless `checks_every` says otherwise, because such a task calls a model. The times are places on a grid
that begins somewhere else for each agent, so that a team's checks do not all come at once; a place counts
when it was passed since the agent's last heartbeat, so nothing comes merely because the scheduler was
started or the roster changed. The external id names the place: however often it is asked for, by whomever,
there is one task for it.
"""

from math import floor
from typing import Final

from scheduler.core.endings import SCHEDULER
from scheduler.core.task import MAX_TITLE, Draft, Priority
from scheduler.roster.model import Agent

SEES_EVERYBODY: Final = "frequent"
"""The class of those who look after the others: their checks are told the figures of the whole team."""

_GOLDEN: Final = (5**0.5 - 1) / 2
"""Its multiples leave no large gaps, however many there are."""


def due_checks(agent: Agent, place: int, last_fired_at: float | None, now: float) -> str | None:
    """The external id of the task that is due now; `place`: where the agent stands in the roster."""
    every = agent.checks_every_seconds
    if every is None or not agent.checks or last_fired_at is None:
        return None
    shift = place * _GOLDEN % 1
    number = floor(now / every - shift)
    return f"{prefix(agent.id)}{number}" if number > floor(last_fired_at / every - shift) else None


def prefix(agent: str) -> str:
    """How the external ids of this agent's tasks begin."""
    return f"checks:{agent}:"


def draft(agent: Agent, external_id: str, table: str) -> Draft:
    """`table`: the figures of the team, or ''."""
    title = f"Checks: {', '.join(agent.checks)}"
    text = [
        "Look at each of these and do what you can about what you find. "
        "Say in a short report what you found and did, and what somebody else has to do.",
        "",
        *(f"- {each}" for each in agent.checks),
    ]
    if table:
        text += ["", "The team when this task was made, as counted on the board:", "", table]
    return Draft(
        title=title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…",
        description="\n".join(text),
        priority=Priority.LOW,
        creator=SCHEDULER,
        assignee=agent.id,
        external_id=external_id,
    )
