"""Fires each agent's heartbeats, each at its own due time.

One task watches the clock, and one more lives for each heartbeat under way. A heartbeat that is slow delays
nobody but itself, as long as there are fewer than AT_ONCE of them; the same agent never has two.

The wall clock says when something is due, and it may be wrong: it is looked at every LOOK_SECONDS, however
far away the next due time is. A machine that slept, and a clock that was set forward, show as due times that
have passed; one that was set back is noticed, and everything is planned anew from the board.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Final, TypeVar

import structlog
import trio

from scheduler.blackboard import beats
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.core.beats import Beat, Kept, Planned
from scheduler.exchange.intake import Intake
from scheduler.heartbeats.beating import beat, checks_due, make_checks, with_checks
from scheduler.heartbeats.decisions import ON_TIME_SECONDS, Fire, Plan, decide, following
from scheduler.heartbeats.picture import AgentHeartbeat, HeartbeatStatistics
from scheduler.heartbeats.schedule import Schedule
from scheduler.heartbeats.timetable import timetable
from scheduler.roster import Agent, Roster
from shared import clock

LOOK_SECONDS: Final = 5.0
AT_ONCE: Final = 8
"""Heartbeats. All wait for the same listings, which are fetched once; so many keep one slow source apart."""
SET_BACK_SECONDS: Final = 1.0
"""A clock that is kept right goes back by less."""

_T = TypeVar("_T")
_log = structlog.get_logger()


@dataclass(slots=True)
class _Line:
    """One agent's heartbeats, as far as they are known here. Changed by `Heartbeats` alone."""

    agent: Agent
    schedule: Schedule
    kept: Kept
    seen_at: float
    """since when somebody would have noticed that it is silent"""
    silent_after: float | None
    """when two due times will have passed since the last one fired, or since `seen_at`"""
    last: Beat | None = None


class Heartbeats:
    """Owner of what is planned, which stands on the board, too; of nobody's tasks."""

    def __init__(
        self, *, board: Board, intake: Intake, roster: Callable[[], Roster], after: Callable[[Beat], None]
    ) -> None:
        """`after` is called when a heartbeat stands on the board; it must not block."""
        self._board, self._intake, self._roster, self._after = board, intake, roster, after
        self._places = trio.CapacityLimiter(AT_ONCE)
        self._woken = trio.Event()
        # What is known here and what stands on the board change together.
        self._changing = trio.Lock()
        self._lines: dict[str, _Line] = {}
        self._firing: set[str] = set()
        self._to_load = True
        self._away = False
        self._looked_at = 0.0

    async def run(self) -> None:
        """Until cancelled. Raises BoardBroken; a board that is away is waited for."""
        self._to_load = True
        async with trio.open_nursery() as nursery:
            while True:
                self._woken = trio.Event()
                async with self._changing:
                    await self._look(nursery)
                with trio.move_on_after(self._pause()):
                    await self._woken.wait()

    def wake(self) -> None:
        """The roster has changed."""
        self._to_load = True
        self._woken.set()

    def statistics(self) -> HeartbeatStatistics:
        """For the metrics and the status."""
        now = clock.wall()
        return HeartbeatStatistics({agent: _picture(line, now) for agent, line in self._lines.items()})

    # -- when -------------------------------------------------------------------------------------------

    def _pause(self) -> float:
        """Seconds until somebody has to look again."""
        now = clock.wall()
        due = min(map(_due, self._resting()), default=now + LOOK_SECONDS)
        return LOOK_SECONDS if self._away else min(max(0.0, due - now), LOOK_SECONDS)

    def _resting(self) -> Iterator[_Line]:
        """Those that have no heartbeat under way."""
        return (line for name, line in self._lines.items() if name not in self._firing)

    async def _look(self, nursery: trio.Nursery) -> None:
        now = clock.wall()
        if now < self._looked_at - SET_BACK_SECONDS:
            _log.warning("clock_set_back", seconds=round(self._looked_at - now, 1))
            self._to_load = True
        self._looked_at = now
        try:
            everybody = self._to_load
            if everybody:
                await self._load(now)
            await self._settle(nursery, now, everybody=everybody)
        except BoardBroken:
            raise
        except BoardError as error:
            if not self._away:
                _log.warning("heartbeats_wait_for_board", error=str(error))
            self._away = self._to_load = True
        else:
            self._away = False

    async def _load(self, now: float) -> None:
        """What the board knows, for the team as it is now."""
        self._to_load = False
        roster = self._roster()
        kept = await self._board.read(beats.kept, now)
        gone = {agent: None for agent, each in kept.items() if each.planned and agent not in roster.agents}
        if gone:
            await self._board.write(beats.plan, gone, now)
        lines = {}
        for name, schedule in timetable(roster).items():
            agent = roster.agents[name]
            before, known = self._lines.get(name), kept.get(name, Kept())
            seen_at = now if before is None else min(before.seen_at, now)
            silent_after = _silent_after(schedule, known.last_fired_at or seen_at)
            last = None if before is None else before.last
            lines[name] = _Line(agent, schedule, known, seen_at, silent_after, last)
        self._lines = lines

    async def _settle(self, nursery: trio.Nursery, now: float, *, everybody: bool) -> None:
        """Fire what is due, and plan what is to be planned."""
        lines = [line for line in self._resting() if everybody or _due(line) <= now]
        while lines:
            plans: dict[str, Plan] = {}
            for line in lines:
                agent = line.agent
                found = decide(agent.id, line.kept, line.schedule, agent.missed, now)
                if isinstance(found, Fire):
                    self._firing.add(agent.id)
                    nursery.start_soon(self._fire, agent, found)
                elif found is not None:
                    plans[agent.id] = found
            if not plans:
                return
            await self._plan(plans, now)
            # What is made up for is due at once.
            lines = [line for line in lines if line.agent.id in plans and _due(line) <= now]

    async def _plan(self, plans: Mapping[str, Plan], now: float) -> None:
        await self._board.write(beats.plan, {agent: plan.planned for agent, plan in plans.items()}, now)
        for agent, plan in plans.items():
            line = self._lines[agent]
            line.kept = replace(line.kept, planned=plan.planned)
            due_at = None if plan.planned is None else clock.rfc3339(plan.planned.due_at)
            log = _log.info if plan.missed else _log.debug
            log("heartbeat_planned", agent=agent, due_at=due_at, why=plan.why, missed=plan.missed)

    # -- one heartbeat ----------------------------------------------------------------------------------

    async def _fire(self, agent: Agent, fire: Fire) -> None:
        planned = fire.planned
        try:
            async with self._places:
                made = await beat(self._board, self._intake, agent, planned.due_at, missed=fire.missed)
                made = await self._with_checks(agent, made)
                await self._until_written(partial(self._record, planned, made))
        finally:
            self._firing.discard(agent.id)
            self._woken.set()
        _tell(made)
        self._after(made)

    async def _with_checks(self, agent: Agent, made: Beat) -> Beat:
        line, roster = self._lines.get(agent.id), self._roster()
        last = None if line is None else line.kept.last_fired_at
        external_id = checks_due(roster, agent, last, made.fired_at)
        if external_id is None:
            return made
        ask = partial(make_checks, stale=self.statistics().silent, now=made.fired_at)
        task = await self._until_written(partial(self._board.write, ask, roster, agent, external_id))
        return made if task is None else with_checks(made, task)

    async def _record(self, planned: Planned, made: Beat) -> None:
        async with self._changing:
            line, now = self._lines.get(made.agent), clock.wall()
            if line is None:  # no longer on the team
                await self._board.write(beats.record, made, None)
                return
            upcoming = following(planned, line.kept, line.schedule, line.agent.missed, now)
            new = await self._board.write(beats.record, made, upcoming)
            used = frozenset(due for due in line.kept.used if due > made.due_at)
            line.kept, line.last = Kept(upcoming, made.fired_at, used), made
            line.silent_after = _silent_after(line.schedule, made.fired_at)
            if made.due_at > now or not new:  # the clock was set back meanwhile, or somebody else was at it
                self._to_load = True

    async def _until_written(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """What has happened is not forgotten because the board is away for a while."""
        while True:
            try:
                return await write()
            except BoardBroken:
                raise
            except BoardError as error:
                _log.warning("heartbeat_unwritten", error=str(error))
            await trio.sleep(LOOK_SECONDS)

    def __repr__(self) -> str:
        return f"<Heartbeats of {len(self._lines)} agents, {len(self._firing)} under way>"


def _due(line: _Line) -> float:
    return inf if line.kept.planned is None else line.kept.planned.due_at


def _silent_after(schedule: Schedule, since: float) -> float | None:
    """When two heartbeats should have come since; None: they are never due."""
    first = schedule.next_after(since)
    second = None if first is None else schedule.next_after(first)
    return None if second is None else second + ON_TIME_SECONDS


def _picture(line: _Line, now: float) -> AgentHeartbeat:
    silent = line.silent_after is not None and now > line.silent_after
    known = silent or line.kept.last_fired_at is not None
    return AgentHeartbeat(
        next_due_at=None if line.kept.planned is None else line.kept.planned.due_at,
        last_fired_at=line.kept.last_fired_at,
        healthy=not silent if known else None,
        last=line.last,
    )


def _tell(made: Beat) -> None:
    quiet = _log.debug if made.ok and not made.started and not made.missed else _log.info
    log = quiet if made.ok else _log.warning
    log(
        "heartbeat_fired",
        agent=made.agent,
        due_at=clock.rfc3339(made.due_at),
        lateness=round(made.lateness, 3),
        seconds=round(made.seconds, 3),
        found=made.found,
        started=made.started,
        deferred=made.deferred,
        missed=made.missed,
        reason=made.reason,
    )
