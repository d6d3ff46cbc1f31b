"""How one task stands, in one sentence. Pure; the words of others are put in as they are.

Whoever shows the sentence cleans or escapes it for where it is shown.
"""

from typing import Final

from scheduler.core.endings import SCHEDULER
from scheduler.core.records import Event
from scheduler.core.states import Status
from scheduler.core.task import BlockedBy, Task, reviewer
from scheduler.report.times import Clock

LONGEST: Final = 300
"""Characters of a reason: it may be a whole letter."""
_NO_VERDICT: Final = "its review "
"""So begins what the plan says of a reviewing agent that came to none."""


def sentence(task: Task, now: float, clock: Clock) -> str:
    """How it stands, without its title."""
    match task.status:
        case Status.PENDING:
            return _pending(task, now, clock)
        case Status.CLAIMED | Status.WORKING:
            return _held(task, clock)
        case Status.REVIEW:
            return _in_review(task)
        case Status.BLOCKED:
            return _blocked(task)
        case _:
            return f"is {task.status}"


def needs_person(task: Task) -> bool:
    """Whether it goes on only if somebody says or does something."""
    if task.status is Status.BLOCKED:
        return task.blocked_by is not BlockedBy.DEPENDENCY
    if task.status is not Status.REVIEW or task.checked_at is None:
        return False
    return task.review == "person" or (task.waiting_because or "").startswith(_NO_VERDICT)


def help_for(task: Task) -> str:
    """The command that lets it go on; '' where no person is waited for."""
    if not needs_person(task):
        return ""
    if task.status is Status.REVIEW:
        return f"blackboard decide {task.id} --accept"
    if task.blocked_by is BlockedBy.APPROVAL:
        return f"blackboard decide {task.id} --approve"
    return f"blackboard answer {task.id} TEXT"


def _pending(task: Task, now: float, clock: Clock) -> str:
    why = short(task.waiting_because) if task.waiting_because else "waits for the next look at the board"
    start = task.expected_start_at
    if start is None:
        return why
    return f"{why}; expected to start {'soon' if start <= now else 'at ' + clock.at(start)}"


def _held(task: Task, clock: Clock) -> str:
    who = task.claimant or "somebody"
    if task.status is Status.CLAIMED:
        words = f"{who} begins"
    else:
        words = f"{who} works on it" + (f", turn {task.turns}" if task.turns else "")
    if task.waiting_for:
        words += f"; waits for {short(task.waiting_for)}"
    if task.progress_at is not None:
        words += f"; last progress {clock.ago(task.progress_at)}"
    return words + ("; may be stuck" if task.suspect_at is not None else "")


def _in_review(task: Task) -> str:
    if task.checked_at is None:
        return "its result is being checked"
    if task.waiting_because:
        return short(task.waiting_because)
    if task.review == "person":
        return "its result waits for somebody to accept it"
    judge = reviewer(task.review)
    return f"its result is judged by {judge}" if judge else "its result is about to be accepted"


def _blocked(task: Task) -> str:
    reason = short(task.blocked_reason or "nobody said why")
    match task.blocked_by:
        case BlockedBy.DEPENDENCY:
            return f"cannot go on: {reason}"
        case BlockedBy.APPROVAL:
            return f"waits for an approval: {reason.removeprefix('approval_required: ')}"
        case _:
            return f"waits for an answer: {reason}"


def incident(event: Event) -> str:
    """What happened when somebody stood still, or work began anew."""
    reason = event.details.get("reason")
    seconds = event.details.get("seconds")
    match event.what:
        case "suspect":
            return (
                f"no progress for {seconds / 60:.0f} min" if isinstance(seconds, int | float) else "suspect"
            )
        case "turns_warning":
            return f"{event.details.get('turns')} of {event.details.get('limit')} turns spent"
        case "expire":
            return "the lease of a claim by hand ended"
    words = {
        "recover": "stopped and given back",
        "no_result": "ended without a result",
        "never_started": "never started",
        "requeue": "put back without spending an attempt",
    }
    told = words.get(event.what, event.what)
    if event.who != SCHEDULER:
        told = f"{told} by {short(event.who)}"
    return f"{told}: {short(str(reason))}" if reason else told


def short(text: str) -> str:
    """On one line, and not long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
