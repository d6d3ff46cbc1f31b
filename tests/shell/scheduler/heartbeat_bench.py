"""Heartbeats to be tried: a clock that a test sets, a real board, sources that only pretend."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio

from scheduler.blackboard import beats
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken
from scheduler.blackboard.queries import TaskQuery
from scheduler.blackboard.store import Store
from scheduler.core.beats import Beat
from scheduler.core.task import Task
from scheduler.exchange.found import Found
from scheduler.heartbeats.part import Heartbeats
from scheduler.roster import Agent, Roster
from scheduler.roster.complete import complete
from scheduler.roster.file import RosterFile
from shared import clock
from tests.fresh_board import fresh_board
from tests.on_the_board import history

START = 1_800_000_010.0
"""Ten seconds after a full hour, when one of an agent that is alone was due."""
HOUR = 3600.0


@dataclass
class Wall:
    """The wall clock: goes with Trio's, except where it is set."""

    ahead: float = START

    def __call__(self) -> float:
        return self.ahead + trio.current_time()


class InlineBoard(Board):
    """Without threads: a clock that jumps does not wait for them. `trouble` is what it answers instead."""

    trouble: Exception | None = None
    breaks_at = 0
    """the call that finds the disk failing; 0: none does"""
    calls = 0
    writes = 0

    async def read(self, question: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await self._answer(question, args, kwargs)

    async def write(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.writes += 1
        return await self._answer(verb, args, kwargs)

    async def _answer(self, verb: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        await trio.lowlevel.checkpoint()
        self.calls += 1
        if self.calls == self.breaks_at:
            raise BoardBroken("the disk fails")
        if self.trouble is not None:
            raise self.trouble
        return verb(self.store, *args, **kwargs)


@dataclass
class PretendedIntake:
    """Answers what a test wants, after as long as it wants."""

    seconds: dict[str, float] = field(default_factory=dict)
    finds: Found = field(default_factory=lambda: Found(unchanged=True))
    trouble: Exception | None = None
    begun: list[tuple[str, float]] = field(default_factory=list)
    """agent, and when by the wall clock"""
    under_way: Counter[str] = field(default_factory=Counter)
    most: int = 0

    async def look(self, agent: Agent, *, dry_run: bool = False) -> Found:
        assert not dry_run
        self.begun.append((agent.id, clock.wall()))
        self.under_way[agent.id] += 1
        assert self.under_way[agent.id] == 1, "the same agent twice at once"
        self.most = max(self.most, self.under_way.total())
        try:
            await trio.sleep(self.seconds.get(agent.id, 0))
        finally:
            self.under_way[agent.id] -= 1
        if self.trouble is not None:
            raise self.trouble
        return self.finds

    def times(self, agent: str) -> list[float]:
        """Seconds since the start."""
        return [round(at - START, 1) for each, at in self.begun if each == agent]


def a_roster(agents: Mapping[str, Mapping[str, object]], **more: object) -> Roster:
    return complete(RosterFile.model_validate({"agents": {**agents}, **more}))


ONE = a_roster({"coo": {"class": "frequent"}})
FIRST = 600.0


@dataclass
class Bench:
    store: Store
    wall: Wall
    intake: PretendedIntake = field(default_factory=PretendedIntake)
    roster: Roster = ONE
    told: list[Beat] = field(default_factory=list)
    board: InlineBoard = field(init=False)
    part: Heartbeats = field(init=False)

    def __post_init__(self) -> None:
        self.board = InlineBoard(self.store)
        self.begin()

    def begin(self) -> None:
        """As a new process does."""
        self.part = Heartbeats(
            board=self.board,
            intake=self.intake,  # type: ignore[arg-type] # of which it asks for nothing else
            roster=lambda: self.roster,
            after=self.told.append,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.part.run)
            yield
            nursery.cancel_scope.cancel()

    async def run_for(self, seconds: float) -> None:
        async with self.running():
            await trio.sleep(seconds)

    def history(self, agent: str = "coo") -> list[Beat]:
        """The oldest first."""
        return list(reversed(history(self.store, agent)))

    def planned(self) -> dict[str, float | None]:
        known = beats.kept(self.store, clock.wall())
        return {agent: each.planned.due_at - START if each.planned else None for agent, each in known.items()}

    def tasks(self) -> list[Task]:
        return list(self.store.tasks(TaskQuery()).tasks)


@contextmanager
def a_bench(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Its wall clock goes with Trio's, so a test asks for a clock that jumps."""
    store = Store.open(fresh_board(directory / "board.db"), artifacts=directory / "artifacts")
    wall = Wall()
    monkeypatch.setattr(clock, "wall", wall)
    yield Bench(store, wall)
    store.close()
