"""Who starts now, and why everybody else waits.

By priority, then longest waiting: at most so many runs at once, one task per agent, no more agents than the
spare budget feeds, nobody while a person talks with the agent, nobody at all while the budget is blocked or
asked to be quiet. Each waiting task is told its reason, and when it is expected to start.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from scheduler.core.capacity import DEFAULT_RPM, feeds
from scheduler.core.commands import Command, Explain, Start
from scheduler.core.records import Attempt
from scheduler.core.rules import FORESEEN, TALKING_FOR, TYPICAL_RUN
from scheduler.core.snapshot import EVERYBODY, BoardSnapshot, Waiting
from scheduler.core.states import Status
from scheduler.core.world import World

YOUNG = 60.0
"""Seconds: a run whose appetite does not show in the sidecar's last minute yet."""

Reason = tuple[str, float | None]
"""Why a task waits, and until when if anybody can tell."""

NOTICEABLE = 30.0
"""Seconds: an estimate that moved by less is not written anew."""


@dataclass(slots=True)
class _Room:
    """What is left to give away while the line is walked through once."""

    runs: int
    """further ones allowed at once"""
    spare_rpm: float
    hungry: bool
    """nothing of ours runs yet: one may start whatever it eats"""
    full_until: float | None
    """when the first run under way is expected to end, if anybody can tell"""
    lines: Counter[str] = field(default_factory=Counter)
    """agent -> places taken in its line"""
    heads: dict[str, float | None] = field(default_factory=dict)
    """agent -> when the first in its line is expected to start"""


def dispatch(world: World, now: float) -> Iterator[Command]:
    """Starts first, then explanations that have changed."""
    board, expected_rpm = world.board, world.expected_rpm
    live = [attempt for attempt in board.attempts if attempt.live]
    typical = {name: record.run_seconds or TYPICAL_RUN for name, record in board.agents.items()}
    busy = {attempt.agent: attempt for attempt in live}
    nobody = _nobody_starts(world, now)
    next_tick_at = world.next_tick_at if world.next_tick_at < inf else None
    room = _Room(
        runs=world.rules.max_concurrent - len(live),
        spare_rpm=_spare(world, live, now),
        hungry=not live,
        full_until=min(
            (at for each in live if (at := _ends_at(each, typical, now)) is not None), default=None
        ),
    )
    explained: list[Explain] = []
    for waiting in board.waiting:
        reason = _own_reason(waiting, board, now)
        if reason is None and (agent := waiting.assignee) is not None:
            place = room.lines[agent]
            room.lines[agent] += 1
            if place:
                reason = _behind(agent, place, room.heads[agent], typical.get(agent, TYPICAL_RUN))
            else:
                reason = (
                    nobody
                    or _agent_reason(agent, world, busy.get(agent), typical, now)
                    or _no_room(room, expected_rpm.get(agent, DEFAULT_RPM), next_tick_at)
                )
                room.heads[agent] = reason[1] if reason else now
                if reason is None:
                    yield Start(waiting.id, agent)
                    continue
        if reason is not None and _differs(waiting, reason):
            explained.append(Explain(waiting.number, *reason))
    yield from explained


def _spare(world: World, live: Sequence[Attempt], now: float) -> float:
    """The sidecar counts what was sent in the last minute: what began in it is about to eat more."""
    if not world.capacity.known:
        return inf
    young = [each.agent for each in live if now - (each.started_at or each.claimed_at) < YOUNG]
    return world.capacity.spare_rpm - sum(world.expected_rpm.get(agent, DEFAULT_RPM) for agent in young)


def _nobody_starts(world: World, now: float) -> Reason | None:
    capacity = world.capacity
    if paused := _paused(world.board, EVERYBODY, now):
        return "all agents are paused", paused[0]
    if not world.sighting.up:
        why = f": {world.sighting.error}" if world.sighting.error else ""
        return f"OpenClaw's gateway does not answer{why}", None
    if capacity.known and capacity.blocked is not None:
        return f"the model API is blocked: {capacity.blocked.reason}", None
    if capacity.known and capacity.quiet_until is not None and capacity.quiet_until > now:
        return "the model API asks for a quiet period", capacity.quiet_until
    return None


def _own_reason(waiting: Waiting, board: BoardSnapshot, now: float) -> Reason | None:
    """What keeps the task itself from starting, whoever would do it."""
    if unmet := board.unmet.get(waiting.number):
        return f"waits for {', '.join(each.id for each in unmet[:5])}", None
    if waiting.status is Status.BLOCKED:
        return "waits to be freed", None
    if waiting.not_before is not None and now < waiting.not_before:
        return "its time has not come yet", waiting.not_before
    if waiting.assignee is None:
        return "nobody is assigned: an agent may claim it", None
    return None


def _agent_reason(
    agent: str, world: World, run: Attempt | None, typical: Mapping[str, float], now: float
) -> Reason | None:
    if paused := _paused(world.board, agent, now):
        return f"{agent} is paused", paused[0]
    if run is not None:
        return f"{agent} works on {run.task}", _ends_at(run, typical, now)
    if (spoke := world.sighting.busy_agents.get(agent)) is not None and now < spoke + TALKING_FOR:
        return f"a person talks with {agent}", spoke + TALKING_FOR
    return None


def _no_room(room: _Room, appetite: float, next_tick_at: float | None) -> Reason | None:
    """None: there was room, and it is taken."""
    if room.runs < 1:
        return "as many runs are under way as allowed", room.full_until
    if not feeds(room.spare_rpm, [appetite], nothing_runs=room.hungry):
        room.spare_rpm = 0.0  # nobody passes by: the smaller ones behind would starve the hungry one
        return "the budget feeds no further run", next_tick_at
    room.runs -= 1
    room.spare_rpm -= appetite
    room.hungry = False
    return None


def _behind(agent: str, place: int, head: float | None, seconds: float) -> Reason:
    if head is None or place > FORESEEN:
        return f"in line for {agent}", None
    return f"in line for {agent}", head + place * seconds


def _paused(board: BoardSnapshot, agent: str, now: float) -> tuple[float | None] | None:
    """Until when, in a tuple of one because that may be unknown; None: not paused."""
    record = board.agents.get(agent)
    if record is None or record.paused_until is None or record.paused_until <= now:
        return None
    return (None if record.paused_until == inf else record.paused_until,)


def _ends_at(run: Attempt, typical: Mapping[str, float], now: float) -> float | None:
    """None: it takes longer than the runs of its agent do, so nobody can tell."""
    at = (run.started_at or run.claimed_at) + typical.get(run.agent, TYPICAL_RUN)
    return at if at > now else None


def _differs(waiting: Waiting, reason: Reason) -> bool:
    because, expected = reason
    if because != waiting.waiting_because or (expected is None) != (waiting.expected_start_at is None):
        return True
    return (
        expected is not None
        and waiting.expected_start_at is not None
        and abs(expected - waiting.expected_start_at) > NOTICEABLE
    )
