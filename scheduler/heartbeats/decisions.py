"""What is to be done about an agent's heartbeat now. Pure.

It is not due, it is fired, or it is planned for another time. A heartbeat is fired within seconds of its due
time, or else it was missed: nobody was there, the machine slept, the clock was set forward. Then the agent's
policy says what becomes of it:

- `skip`: nothing, the next one comes in its time;
- `run_once`: one is fired for all that were missed;
- `run_all`: each is fired, one after the other, but no more than the newest MOST_AT_ONCE of them.

A clock that is set back is the other trouble. What is planned may then lie an hour ahead, and that hour has
heartbeats on the board already: of a future that did not happen. Waiting for what is planned would be an hour
of silence; firing the old due times again would be the same heartbeat twice. So, when more than one due time
lies before what is planned, the next of them is planned instead, and one that bears a name which is used
already is due a second beside it: an hour that comes twice has heartbeats of its own. After a small step
(seconds, as clocks are corrected) nothing is planned anew, and the silence is a period and the step.
"""

from dataclasses import dataclass
from typing import Final

from scheduler.core.beats import Kept, Planned
from scheduler.heartbeats.schedule import Schedule
from scheduler.roster.model import Missed

ON_TIME_SECONDS: Final = 30.0
"""Later than that is missed. It is less than the shortest period, so that no two are due at once by it."""
MOST_AT_ONCE: Final = 50


@dataclass(frozen=True, slots=True)
class Fire:
    """It is due."""

    planned: Planned
    missed: int = 0
    """due times after it that have passed, too, and are not fired; MOST_AT_ONCE stands for any more"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is planned now, in place of what was."""

    planned: Planned | None
    """None: it is never due"""
    why: str
    missed: int = 0
    """due times that passed and are not fired; MOST_AT_ONCE stands for any more"""


def decide(agent: str, kept: Kept, schedule: Schedule, policy: Missed, now: float) -> Fire | Plan | None:
    """None: what is planned is right, and its time has not come."""
    planned = kept.planned
    if planned is None:
        first = schedule.next_after(now)
        return None if first is None else Plan(_planned(agent, first, schedule, kept), "new")
    if planned.rule != schedule.rule:
        return Plan(_planned(agent, schedule.next_after(now), schedule, kept), "its rule has changed")
    if planned.due_at > now:
        return _too_far(planned, kept, schedule, now)
    if now - planned.due_at <= ON_TIME_SECONDS:
        return Fire(planned)
    return _missed(planned, kept, schedule, policy, now)


def following(fired: Planned, kept: Kept, schedule: Schedule, policy: Missed, now: float) -> Planned | None:
    """What is planned when a heartbeat is over, at `now`; None: it is never due again."""
    # What came due while it lasted was not missed but is over with it, except for who wants each of them.
    after = fired.due_at if policy == "run_all" else max(fired.due_at, now)
    return _planned(fired.agent, schedule.next_after(after), schedule, kept)


def _too_far(planned: Planned, kept: Kept, schedule: Schedule, now: float) -> Plan | None:
    """After a small step back the due time just fired lies ahead again, and what is planned is the second."""
    first = schedule.next_after(now)
    second = None if first is None else schedule.next_after(first)
    if second is None or planned.due_at <= second:
        return None
    return Plan(_planned(planned.agent, first, schedule, kept), "the clock was set back")


def _missed(planned: Planned, kept: Kept, schedule: Schedule, policy: Missed, now: float) -> Fire | Plan:
    passed = schedule.newest(planned.due_at, now, MOST_AT_ONCE)
    if policy == "skip":
        missed = min(len(passed) + 1, MOST_AT_ONCE)
        upcoming = _planned(planned.agent, schedule.next_after(now), schedule, kept)
        return Plan(upcoming, "it was missed", missed)
    if policy == "run_once":
        return Fire(planned, len(passed))
    if len(passed) == MOST_AT_ONCE:
        oldest = _planned(planned.agent, passed[0], schedule, kept)
        return Plan(oldest, f"more than {MOST_AT_ONCE} were missed: the newest of them are made up for")
    return Fire(planned)


def _planned(agent: str, due: float | None, schedule: Schedule, kept: Kept) -> Planned | None:
    if due is None:
        return None
    while due in kept.used:
        due += 1
    return Planned(agent, due, schedule.rule)
