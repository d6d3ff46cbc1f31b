"""A day: time goes on from one thing that happens to the next, and the ticker looks when the daemon would.

    on the grid            a tick every `tick_seconds`
    a task arrives         a tick at once, as whoever writes on the board wakes it
    while a run lives      a tick every 15 s; that is how the end of a run is seen (left out where there is
                           nothing new to be seen)

The rule: a tick is the daemon's own, whole, on the daemon's own parts; only who is asked and what time it is
are played.
"""

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import trio

from scheduler.archivist import Archivist
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardUnavailable
from scheduler.blackboard.store import Store
from scheduler.core.records import Attempt
from scheduler.core.rules import Rules
from scheduler.core.task import Draft
from scheduler.execution import Executor
from scheduler.roster import Roster
from scheduler.simulate.budget import Band, Budget
from scheduler.simulate.clock import SimulatedClock, standing_in
from scheduler.simulate.played import NeverAway, PlayedReviewing, PlayedRunner, PlayedSidecar, StraightBoard
from scheduler.simulate.profiles import USUAL, Profile
from scheduler.simulate.tasks import Arrival
from scheduler.simulate.team import PlayedTeam
from scheduler.starter import Starter
from scheduler.ticker import WHILE_RUNNING_SECONDS, Ticker
from scheduler.tickets import Tickets

CREATOR: Final = "simulation"
PATIENCE_SECONDS: Final = 30.0
"""Real ones, with the starter."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What holds on that day."""

    start: float
    seconds: float
    rpm: float
    rules: Rules
    roster: Roster
    tick_seconds: float
    spacing_seconds: float
    profiles: Mapping[str, Profile]
    seed: int


@dataclass(frozen=True, slots=True)
class Happened:
    """What only the players know; everything else stands on the board."""

    team: PlayedTeam
    ticks: int
    calls_avoided: int


class Day:
    """Owner of the order of things."""

    def __init__(
        self, store: Store, directory: Path, arrivals: Sequence[Arrival], conditions: Conditions
    ) -> None:
        self._store, self._directory, self._conditions = store, directory, conditions
        self._clock = SimulatedClock(conditions.start)
        self._team = PlayedTeam(
            Budget(conditions.rpm),
            lambda agent: conditions.profiles.get(agent, USUAL),
            Random(conditions.seed),  # noqa: S311 - lots, not secrets
        )
        # The next one at the end.
        self._arrivals = sorted(arrivals, key=lambda arrival: arrival.at, reverse=True)
        self._requests: dict[str, int] = {}  # by task, where somebody said how many
        self._seen_ends = 0
        # Of the tick under way: runs that have begun, tasks whose have not.
        self._begun: set[str] = set()
        self._missing: set[str] = set()
        self._all_begun = threading.Event()

    def live(self) -> Happened:
        """From its beginning to its end."""
        with standing_in(self._clock):
            return trio.run(self._live, clock=self._clock)

    async def _live(self) -> Happened:
        board = StraightBoard(self._store)
        ticker, parts = self._parts(board)
        for attempt in (await board.read(Store.snapshot)).attempts:
            if attempt.live:
                self._adopt(attempt)
        ticks = 0
        async with trio.open_nursery() as nursery:
            for part in parts:
                nursery.start_soon(part)
            begin = self._conditions.start
            end = begin + self._conditions.seconds
            grid, last, live = begin, begin, 0
            while True:
                arrival = begin + self._arrivals[-1].at if self._arrivals else end
                look = last + WHILE_RUNNING_SECONDS if live else end  # as Ticker says it of itself
                now = min(grid, arrival, look)
                if now >= end:
                    break
                self._team.advance(now)
                self._clock.advance(now)
                if now == look < min(grid, arrival) and await self._nothing_to_see(board):
                    last = now
                    continue
                await self._arrive(board, now)
                if fresh := now >= grid:
                    grid += self._conditions.tick_seconds
                report = await ticker.tick(fresh=fresh)
                await self._until_started(report.started)
                last, live, ticks = now, report.live, ticks + 1
            self._team.advance(end)
            self._clock.advance(end)
            await ticker.tick()
            nursery.cancel_scope.cancel()
        return Happened(self._team, ticks + 1, ticker.calls_avoided)

    async def _nothing_to_see(self, board: Board) -> bool:
        """A look that finds no run ended, while nobody waits for a start, changes nothing."""
        seen, self._seen_ends = self._seen_ends, self._team.ends
        return seen == self._seen_ends and not (await board.read(Store.snapshot)).waiting

    async def _arrive(self, board: Board, now: float) -> None:
        while self._arrivals and self._conditions.start + self._arrivals[-1].at <= now:
            arrival = self._arrivals.pop()
            draft = Draft(
                title=arrival.title, assignee=arrival.agent, priority=arrival.priority, creator=CREATOR
            )
            task = await board.write(Store.create, draft, who=CREATOR, now=now)
            if arrival.requests is not None:
                self._requests[task.id] = arrival.requests

    def _adopt(self, attempt: Attempt) -> None:
        """A run that lives on the board that was copied goes on, as if it had just begun."""
        priority = self._store.task(attempt.task).priority.word
        self._team.begin(
            attempt.run_id,
            attempt.agent,
            attempt.session_key,
            band=Band.of(priority),
            at=self._conditions.start,
        )

    # -- the parts that a daemon has -------------------------------------------------------------------

    def _parts(self, board: Board) -> tuple[Ticker, tuple[Callable[[], Awaitable[None]], ...]]:
        conditions = self._conditions
        sidecar = PlayedSidecar(self._team)
        runner = PlayedRunner(self._team, conditions.spacing_seconds, self._requests.get)
        tickets = Tickets(self._directory / "tickets", "http://127.0.0.1:9")
        starter = Starter(
            board=board,
            runner=runner,
            tickets=tickets,
            blackboard=Path("blackboard"),
            spacing_seconds=0,  # in simulated time: see PlayedRunner
            on_start=self._on_start,
        )
        reviewing = PlayedReviewing(board, self._directory, conditions.roster)
        archivist = Archivist(board, runner, tickets)
        executor = Executor(
            board=board,
            runner=runner,
            starter=starter,
            tickets=tickets,
            reviewing=reviewing,
            archivist=archivist,
            note=lambda *_: None,
        )
        ticker = Ticker(
            board=board,
            runner=runner,
            sidecar=sidecar,
            starter=starter,
            executor=executor,
            rules=lambda: conditions.rules,
            interval_seconds=conditions.tick_seconds,
            last_look=NeverAway(self._directory / "last-tick", interval_seconds=conditions.tick_seconds),
            on_report=lambda _: None,
        )
        return ticker, (starter.run, archivist.run)

    def _on_start(self, attempt: Attempt) -> None:
        self._begun.add(attempt.run_id)
        self._missing.discard(attempt.task)
        if not self._missing:
            self._all_begun.set()

    async def _until_started(self, tasks: Sequence[str]) -> None:
        """No simulated time passes while the starter is at work; the real one does, so a thread waits."""
        begun = {run.rpartition(".")[0] for run in self._begun}
        self._begun.clear()
        self._missing = {*tasks} - begun
        if not self._missing:
            return
        self._all_begun.clear()
        if not await trio.to_thread.run_sync(self._all_begun.wait, PATIENCE_SECONDS):
            raise BoardUnavailable(f"{', '.join(sorted(self._missing))}: claimed, but no run has begun")
