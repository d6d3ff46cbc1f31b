"""Ticks of the real ticker on a real board, in this process; the agents are only pretended."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from bench.board_store import Place, fill, percentile
from bench.table import Figure
from scheduler.archivist import Archivist
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.claims import ClaimToken
from scheduler.core.rules import Rules
from scheduler.core.sighting import RunRef, RunSeen, RunState, Sighting
from scheduler.core.task import Draft
from scheduler.events import EventFeed
from scheduler.execution import Executor
from scheduler.last_look import LastLook
from scheduler.reviewing import Reviewing
from scheduler.roster.complete import complete
from scheduler.roster.file import RosterFile
from scheduler.runs import Order, StartResult, StartState
from scheduler.sidecar import Sidecar
from scheduler.starter import Starter
from scheduler.ticker import CALM_SECONDS, Ticker
from scheduler.tickets import Tickets
from shared import clock

FULL_TICKS, QUICK_TICKS = 50, 15
FULL_WAKES, QUICK_WAKES = 100, 20
EMPTY_TICKS = 1_000
MANY, FEW = 10_000, 200
AGENTS = tuple(f"agent-{number}" for number in range(20))
SETTLING_TICKS = 10
WAIT_SECONDS = 30.0
CALM_AGAIN_SECONDS = 2 * CALM_SECONDS + 0.1
"""What was written brings one more tick, and calm follows it: only then is a wake answered at once."""


@dataclass
class PretendedRunner:
    """Runs exist because it says so; each goes on until `end`."""

    starts: int = 0
    started: trio.Event = field(default_factory=trio.Event)
    """set by the next start"""
    _seen: dict[str, RunSeen] = field(default_factory=dict)

    def end(self) -> None:
        """All of them, well."""
        self._seen = {run: RunSeen(run, RunState.OK, answer="Done.") for run in self._seen}

    async def start(self, order: Order) -> StartResult:
        await trio.lowlevel.checkpoint()
        self.starts += 1
        self.started.set()
        self._seen[order.run_id] = RunSeen(order.run_id, RunState.RUNNING)
        return StartResult(StartState.STARTED)

    async def look(self, runs: Sequence[RunRef]) -> Sighting:
        await trio.lowlevel.checkpoint()
        absent = {each.run_id: RunSeen(each.run_id, RunState.ABSENT) for each in runs}
        self._seen = {run: seen for run, seen in self._seen.items() if run in absent}
        return Sighting(up=True, at=clock.wall(), runs=absent | self._seen)

    async def stop(self, session_key: str) -> bool:
        await trio.lowlevel.checkpoint()
        return True

    async def archive(self, session_key: str, directory: Path) -> bool:
        await trio.lowlevel.checkpoint()
        return True


class TimedTickets(Tickets):
    """Being written a ticket is the first thing that follows the commit of a run's claim."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "http://127.0.0.1:8083")
        # Written by the executor's threads, read by the loop.
        self.claimed: dict[str, float] = {}

    def write(self, token: ClaimToken, agent: str) -> Path:
        self.claimed.setdefault(token.task, time.perf_counter())
        return super().write(token, agent)


@dataclass(frozen=True)
class Bench:
    """A ticker with everything around it, as the daemon has it."""

    board: Board
    runner: PretendedRunner
    ticker: Ticker
    starter: Starter
    feed: EventFeed
    tickets: TimedTickets

    async def settle(self) -> float:
        """Tick until there is nothing left to do; the seconds of the first tick."""
        first = (await self.ticker.tick()).seconds
        for _ in range(SETTLING_TICKS):
            async with self.starter.still:
                pass
            if not (await self.ticker.tick()).commands:
                return first
        raise RuntimeError(f"there is something to do in each of {SETTLING_TICKS} ticks")


@asynccontextmanager
async def bench(store: Store, *, most_runs: int) -> AsyncIterator[Bench]:
    """On this board, with its starter running; the feed and the ticker are not."""
    board, runner, sidecar = Board(store), PretendedRunner(), Sidecar(None)
    tickets = TimedTickets(store.artifacts.parent / "tickets")
    feed = EventFeed(board, on_change=lambda _events: ticker.wake())
    starter = Starter(
        board=board,
        runner=runner,
        tickets=tickets,
        blackboard=Path("/opt/bin/blackboard"),
        spacing_seconds=0,
        on_start=lambda _attempt: feed.poke(),
    )
    executor = Executor(
        board=board,
        runner=runner,
        starter=starter,
        tickets=tickets,
        reviewing=Reviewing(
            board, roster=lambda: complete(RosterFile()), environ={}, state_dir=store.artifacts.parent
        ),
        archivist=Archivist(board, runner, tickets),
        note=lambda *_: None,
    )
    rules = Rules(max_concurrent=most_runs)
    ticker = Ticker(
        board=board,
        runner=runner,
        sidecar=sidecar,
        starter=starter,
        executor=executor,
        rules=lambda: rules,
        interval_seconds=60,
        last_look=LastLook(store.artifacts.parent / "last-tick", interval_seconds=60),
        on_report=lambda _report: None,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(starter.run)
        yield Bench(board, runner, ticker, starter, feed, tickets)
        nursery.cancel_scope.cancel()
    await sidecar.aclose()


async def measure(place: Place, quick: bool, say: Callable[[str], None]) -> list[Figure]:
    """A board of its own for each part."""
    ticks, wakes = (QUICK_TICKS, QUICK_WAKES) if quick else (FULL_TICKS, FULL_WAKES)
    return [
        *await _ticks(place, FEW, ticks, 10.0, say),
        *await _ticks(place, MANY, ticks, 50.0, say),
        *await _wakes(place, wakes, say),
        *await _empty(place, say),
    ]


async def _ticks(
    place: Place, waiting: int, times: int, most_ms: float, say: Callable[[str], None]
) -> list[Figure]:
    """Ticks that find nothing to do, with six runs under way and so many tasks in line for twenty agents."""
    say(f"{place.name}: ticks over {waiting:,} tasks")
    seconds, cpu = [], []
    with place.board() as (store, _):
        fill(store, waiting, AGENTS)
        async with bench(store, most_runs=6) as it:
            first = await it.settle()
            for _ in range(times):
                before = time.process_time()
                seconds.append(1000 * (await it.ticker.tick()).seconds)
                cpu.append(1000 * (time.process_time() - before))
    return [
        Figure.of(f"tick over {waiting:,} waiting tasks", seconds, "ms", 1, most=most_ms),
        Figure.of(f"its processor time, {waiting:,} tasks", cpu, "ms", 1),
        Figure(f"the first tick, which tells {waiting:,} tasks why they wait", 1000 * first, "ms", 0),
    ]


async def _wakes(place: Place, times: int, say: Callable[[str], None]) -> list[Figure]:
    """From the commit of a new task to that of its claim, on a calm board where 200 others wait."""
    say(f"{place.name}: {times} times from a new task to its claim")
    waited = []
    with place.board() as (store, _):
        fill(store, FEW)
        async with bench(store, most_runs=6) as it:
            await it.settle()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(it.feed.run)
                nursery.start_soon(it.ticker.run)
                await trio.sleep(CALM_AGAIN_SECONDS)
                for _ in range(times):
                    waited.append(await _wake(it))
                    it.runner.end()
                    await it.ticker.tick()
                    it.feed.poke()
                    await trio.sleep(CALM_AGAIN_SECONDS)
                nursery.cancel_scope.cancel()
    return [
        Figure.of("new task to its claim", waited, "ms", 1),
        Figure("new task to its claim, p99", percentile(waited, 0.99), "ms", 1, most=50.0),
    ]


async def _wake(it: Bench) -> float:
    it.runner.started = trio.Event()
    draft = Draft(title="Something new", creator="bench", assignee="agent-0")
    task = await it.board.write(Store.create, draft, who="bench", now=clock.wall())
    created = time.perf_counter()
    it.feed.poke()  # as the API does after each write
    with trio.fail_after(WAIT_SECONDS):
        await it.runner.started.wait()
    return 1000 * (it.tickets.claimed[task.id] - created)


async def _empty(place: Place, say: Callable[[str], None]) -> list[Figure]:
    say(f"{place.name}: {EMPTY_TICKS:,} ticks of an empty board")
    with place.board() as (store, _):
        async with bench(store, most_runs=6) as it:
            before = time.process_time()
            for _ in range(EMPTY_TICKS):
                await it.ticker.tick()
            cpu = 1000 * (time.process_time() - before) / EMPTY_TICKS
            return [
                Figure(
                    f"runs started in {EMPTY_TICKS:,} ticks of an empty board",
                    it.runner.starts,
                    "",
                    0,
                    most=0,
                ),
                Figure("processor time of one of them", cpu, "ms", 2),
            ]
