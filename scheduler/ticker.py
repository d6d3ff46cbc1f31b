"""ONE TICK, top to bottom.

1.  Look: the board, the runs in the gateway, the sidecar's budget and who waits for it.
2.  Plan: pure; reconcile before dispatch.
3.  Carry it out, look at the board again, plan again, until the plan has nothing left to say.
4.  Hand what is intended to the starter, and tell what happened.

Ticks stand on a grid that does not drift; a slow one is never doubled. Between them a tick comes early when
the board has changed, and every few seconds while a run lives.
"""

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.core.capacity import Appetite, CallerActivity, Capacity, waiting_agents, waiting_sessions
from scheduler.core.commands import Command, Excuse, Explain, Start
from scheduler.core.plan import plan
from scheduler.core.records import Notice, Run
from scheduler.core.rules import Rules
from scheduler.core.sighting import RunRef, Sighting
from scheduler.core.snapshot import BoardSnapshot
from scheduler.core.task import Task
from scheduler.core.world import World
from scheduler.execution import Done, Executor
from scheduler.last_look import LastLook
from scheduler.runs import Runner
from scheduler.sidecar import Sidecar
from scheduler.starter import Starter
from scheduler.tick_report import TickReport
from shared import clock

WHILE_RUNNING_SECONDS: Final = 15.0
"""Between two looks while a run lives."""
LOOK_AGAIN_SECONDS: Final = 10.0
"""A younger look at the gateway is good enough for a tick that comes early: one costs a second of a core."""
IDLE_LOOK_SECONDS: Final = 300.0
"""Without anything to ask the gateway for: whether it is there is to be known before work comes."""
CALM_SECONDS: Final = 0.5
"""Between the end of a tick and one that comes early: many writes in a row are one reason to look."""
ROUNDS: Final = 20
"""Of planning in one tick. Each settles what the one before has made possible; more is the next tick's."""
ALARM_SECONDS: Final = 3600.0

_log = structlog.get_logger()


class Ticker:
    """Owner of when the next tick is, and of what the last one saw."""

    def __init__(
        self,
        *,
        board: Board,
        runner: Runner,
        sidecar: Sidecar,
        starter: Starter,
        executor: Executor,
        rules: Callable[[], Rules],
        interval_seconds: float,
        last_look: LastLook,
        on_report: Callable[[TickReport], None],
    ) -> None:
        self._board, self._runner, self._sidecar = board, runner, sidecar
        self._starter, self._executor, self._rules = starter, executor, rules
        self._interval_seconds, self._last_look, self._on_report = interval_seconds, last_look, on_report
        self._one_at_a_time, self._woken = trio.Lock(), trio.Event()
        # In Trio's time: where the grid of ticks begins, when the last tick ended.
        self._origin: float | None = None
        self._ended_at = -math.inf
        self.running, self._made_at = True, clock.wall()
        self.last: TickReport | None = None
        self.sighting = Sighting(up=False, error="nobody has looked yet")
        self.capacity, self.capacity_at = Capacity.unknown("nobody has asked yet"), 0.0
        self.appetite = Appetite()
        self.looks_avoided = self.heartbeats_avoided = 0
        self.held: tuple[Task, ...] = ()
        self.activities: tuple[CallerActivity, ...] = ()

    # -- when -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. The first tick is at once: what a crash left behind is settled before anything."""
        self._origin = trio.current_time()
        early = False
        while True:
            if self.running:
                await self.tick(fresh=not early)
            with trio.move_on_at(self._next_at()) as pause:
                await self._woken.wait()
            if early := not pause.cancelled_caught:
                await trio.sleep_until(self._ended_at + CALM_SECONDS)
            self._woken = trio.Event()

    def wake(self) -> None:
        """The board has changed: look soon, not at the next minute."""
        self._woken.set()

    def start(self) -> None:
        """Tick again, beginning now."""
        self.running = True
        self.wake()

    def heartbeat_avoided(self) -> None:
        """An agent had its heartbeat, and no model was called for it."""
        self.heartbeats_avoided += 1

    @property
    def calls_avoided(self) -> int:
        """Of a model, since the start."""
        return self.looks_avoided + self.heartbeats_avoided

    def stop(self) -> None:
        """No further ticks; what runs goes on running."""
        self.running = False

    async def idle(self) -> None:
        """Wait for the tick under way; there must be no further one (`stop`)."""
        async with self._one_at_a_time:
            pass

    @property
    def next_tick_at(self) -> float | None:
        """Unix seconds; None: stopped."""
        if not self.running:
            return None
        return clock.wall() + max(0.0, self._next_at() - trio.current_time())

    def _next_at(self) -> float:
        now, origin = trio.current_time(), self._origin or 0.0
        grid = origin + (math.floor((now - origin) / self._interval_seconds) + 1) * self._interval_seconds
        if self.running and self.last is not None and self.last.live:
            return min(grid, now + WHILE_RUNNING_SECONDS)
        return grid

    # -- one tick -------------------------------------------------------------------------------------

    async def tick(self, *, fresh: bool = True) -> TickReport:
        """Run one now; if one is under way, after it. `fresh`: look at the gateway, however lately we did."""
        async with self._one_at_a_time:
            began, now = clock.monotonic(), clock.wall()
            done, live, error = Done(), 0, ""
            alarms: tuple[str, ...] = ()
            try:
                alarms, live = await self._settle(now, done, fresh=fresh)
                await self._last_look.note()
            except BoardBroken:
                raise
            except BoardError as trouble:
                error = str(trouble)
            report = TickReport(
                at=now,
                seconds=clock.monotonic() - began,
                outcome="failed" if error else "ok",
                error=error,
                commands=dict(done.counts),
                outdated=done.outdated,
                started=tuple(done.started),
                ended=tuple(done.ended),
                alarms=alarms,
                live=live,
            )
            self._ended_at = trio.current_time()
            self._tell(report, fresh=fresh)
            return report

    async def _settle(self, now: float, done: Done, *, fresh: bool) -> tuple[tuple[str, ...], int]:
        """Plan and act until there is nothing left to do at this `now`; alarms, and how many runs live."""
        board = await self._excuse(await self._see(), done, now)
        looked = await self._look(board, now, fresh=fresh)
        tried: set[Command] = set()
        alarms: tuple[str, ...] = ()
        for _ in range(ROUNDS):
            planned = plan(self._world(board), now, tried)
            alarms = planned.alarms or alarms
            # What could not be done a moment ago cannot be done now either.
            commands = [each for each in planned.commands if each not in tried]
            if not commands:
                break
            if not looked and any(isinstance(each, Start) for each in commands):
                # Nobody is started by an old look: a person may have begun to talk since.
                looked = await self._look(board, now, fresh=True)
                continue
            tried.update(commands)
            await self._executor.carry_out(commands, done, now)
            if all(isinstance(each, Explain) for each in commands):
                break  # nothing that another plan could build on
            board = await self._see()
        if fresh and not any(isinstance(each, Start) for each in tried):
            self.looks_avoided += 1
        await self._alarm(alarms, now)
        self.held = board.held
        return alarms, sum(attempt.live for attempt in board.attempts)

    async def _see(self) -> BoardSnapshot:
        """The board now. What is intended on it goes to the starter at once: a start has two minutes."""
        board = await self._board.read(Store.snapshot)
        self._starter.want([attempt for attempt in board.attempts if attempt.run is Run.INTENDED])
        return board

    async def _excuse(self, board: BoardSnapshot, done: Done, now: float) -> BoardSnapshot:
        """Nobody stood still while nobody looked."""
        unseen = await self._last_look.unseen_seconds()
        held = [Excuse(task.id, task.epoch, unseen) for task in board.held if task.held]
        if not unseen or not held:
            return board
        await self._executor.carry_out(held, done, now)
        return await self._see()

    async def _look(self, board: BoardSnapshot, now: float, *, fresh: bool) -> bool:
        """Whether the gateway was looked at now, and not a few seconds ago."""
        view = await self._sidecar.look()
        self.capacity, self.capacity_at, self.activities = view.capacity, now, view.activities
        live = [attempt for attempt in board.attempts if attempt.live]
        self.appetite.observe(clock.monotonic(), view.activities, {attempt.agent for attempt in live})
        if not fresh and 0 <= now - self.sighting.at < LOOK_AGAIN_SECONDS:
            return False
        refs = [RunRef(each.run_id, each.session_key, each.agent) for each in live]
        was_up, looked_before = self.sighting.up, self.sighting.at > 0
        was_down = looked_before and not was_up
        unseen = now - (self.sighting.at or self._made_at)
        if refs or board.waiting or board.unarchived or was_down or not 0 <= unseen < IDLE_LOOK_SECONDS:
            self.sighting = _with_throttling(await self._runner.look(refs), refs, view.activities)
            if not self.sighting.up and (was_up or not looked_before):
                _log.warning("openclaw_away", error=self.sighting.error, consequence="nothing is started")
            elif self.sighting.up and was_down:
                _log.info("openclaw_back")
        return True

    def _world(self, board: BoardSnapshot) -> World:
        agents = {waiting.assignee for waiting in board.waiting} | {each.agent for each in board.attempts}
        return World(
            board=board,
            sighting=self.sighting,
            capacity=self.capacity,
            rules=self._rules(),
            next_tick_at=self.next_tick_at or math.inf,
            waiting_agents=self._waiting_agents(board),
            expected_rpm={agent: self.appetite.expected_rpm(agent) for agent in agents if agent},
        )

    def _waiting_agents(self, board: BoardSnapshot) -> frozenset[str]:
        """Who has a request at the sidecar, by the name that it carries, else by the session of its run."""
        sessions = waiting_sessions(self.activities)
        runs = self.sighting.runs
        by_session = {
            each.agent
            for each in board.attempts
            if (seen := runs.get(each.run_id)) is not None and seen.session_id in sessions
        }
        return frozenset(waiting_agents(self.activities)) | by_session

    async def _alarm(self, alarms: tuple[str, ...], now: float) -> None:
        """Once an hour for the same trouble, however many ticks see it."""
        hour = int(now // ALARM_SECONDS)
        same = partial(re.sub, r"[0-9]+", "#")  # "5 of 9" and "6 of 9" are one trouble
        if alarms:
            _log.error("alarm", reasons=list(alarms))
            causes = {text: f"alarm:{hour}:{same(text)}" for text in alarms}
            told = [Notice("critical", cause, text, now, urgent=True) for text, cause in causes.items()]
            await self._board.write(Store.tell, told)

    def _tell(self, report: TickReport, *, fresh: bool) -> None:
        self.last = report
        self._on_report(report)
        # A look in between that found nothing to do is no news.
        quiet = _log.info if fresh or report.commands else _log.debug
        log = _log.warning if report.error else quiet
        log(
            "tick_completed",
            outcome=report.outcome,
            seconds=round(report.seconds, 3),
            commands=dict(report.commands),
            outdated=report.outdated,
            live=report.live,
            **({"error": report.error} if report.error else {}),
        )


def _with_throttling(
    sighting: Sighting, refs: Sequence[RunRef], activities: Iterable[CallerActivity]
) -> Sighting:
    """The sidecar knows what the gateway does not: how often the model API refused a run's requests."""
    counts = {each.session.removesuffix(":0"): each.throttled for each in activities if each.throttled}
    runs = dict(sighting.runs)
    for ref in refs:
        if counts and (seen := runs.get(ref.run_id)) is not None:
            throttled = counts.get(seen.session_id) or counts.get(ref.session_key) or 0
            runs[ref.run_id] = replace(seen, throttled=throttled)
    return replace(sighting, runs=runs)
