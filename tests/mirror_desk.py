"""A board, sources in memory and everything between them, for tests that say what time it is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from scheduler.blackboard import mirrored
from scheduler.blackboard.board import Board
from scheduler.blackboard.queries import TaskQuery
from scheduler.blackboard.store import Store
from scheduler.core import deciding
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import Mirror
from scheduler.core.task import Source, Task
from scheduler.exchange.found import Found
from scheduler.exchange.intake import Intake
from scheduler.exchange.mirroring import Mirroring
from scheduler.exchange.taking_over import TakingOver
from scheduler.roster import Agent, Roster
from scheduler.roster.model import CLASSES, agent_of
from scheduler.sources.protocol import TaskSource
from tests.fresh_board import fresh_board
from tests.on_the_board import notices
from tests.pretended_source import PretendedSource


def a_roster(*agents: str) -> Roster:
    return Roster(
        {each: agent_of(each, "frequent", CLASSES["frequent"], missed="run_once") for each in agents},
        CLASSES,
        {},
        {},
        "UTC",
        "run_once",
        None,
        None,
        (),
    )


@dataclass
class Desk:
    """A board and its sources. `time` is what everybody believes it is; each look at it takes a moment."""

    store: Store
    roster: Roster
    time: float
    sources: dict[Source, PretendedSource] = field(
        default_factory=lambda: {
            Source.WORKBOARD: PretendedSource(),
            Source.MULTICA: PretendedSource(Source.MULTICA, Stage.BLOCKED),
        }
    )

    def __post_init__(self) -> None:
        self.restart()

    @property
    def cards(self) -> PretendedSource:
        return self.sources[Source.WORKBOARD]

    @property
    def issues(self) -> PretendedSource:
        return self.sources[Source.MULTICA]

    def agent(self, name: str = "ops") -> Agent:
        return self.roster.agents[name]

    def later(self, seconds: float) -> None:
        self.time += seconds

    def now(self) -> float:
        self.later(0.001)
        return self.time

    async def look(self, name: str = "ops", *, dry_run: bool = False) -> Found:
        self.later(1)
        return await self.intake.look(self.agent(name), dry_run=dry_run)

    async def survey(self) -> None:
        self.later(1)
        async with trio.open_nursery() as nursery:
            for source in self.sources.values():
                nursery.start_soon(self.intake.survey, source)

    async def settle(self) -> None:
        self.later(1)
        for source in self.sources.values():
            await self.mirroring.tell(source)

    def tasks(self) -> tuple[Task, ...]:
        return self.store.tasks(TaskQuery(archived=True)).tasks

    def task(self, number: int = 1) -> Task:
        return self.store.task(f"T-{number:04d}")

    def row(self, external_id: str = "c1", source: Source = Source.WORKBOARD) -> Mirror:
        row = mirrored.one(self.store, source, external_id).row
        assert row is not None
        return row

    def change(self, verb: Callable[..., object], number: int = 1, **more: object) -> None:
        self.store.change(f"T-{number:04d}", partial(verb, now=self.now(), **more), now=self.now())  # type: ignore[arg-type]  # any verb

    def claim(self, number: int = 1, lease_seconds: float | None = 1800.0) -> None:
        self.store.claim(f"T-{number:04d}", agent="ops", now=self.now(), lease_seconds=lease_seconds)

    def hand_in(self, text: str = "It is written.", number: int = 1) -> None:
        received = self.store.receive(text.encode())
        self.store.hand_in(
            f"T-{number:04d}", received, name="report.md", final=True, now=self.now(), author="ops"
        )

    def finish(self, number: int = 1) -> None:
        self.hand_in(number=number)
        self.change(deciding.accept, number, who="me")

    def said(self, number: int = 1) -> list[str]:
        return [each.text for each in self.store.thread(f"T-{number:04d}").comments]

    def notices(self) -> list[tuple[str, str]]:
        return [(notice.to, notice.text) for notice in notices(self.store)]

    def restart(self) -> None:
        """Another process: nothing of what the one before had in mind is left."""
        board = Board(self.store)
        given: dict[Source, TaskSource] = {**self.sources}
        taking_over = TakingOver(board, given, lambda: self.roster)
        self.intake = Intake(board, given, lambda: self.roster, taking_over, listing_seconds=0.0)
        self.mirroring = Mirroring(board, given, lambda: self.roster, taking_over)


def a_desk(directory: Path, now: float) -> Desk:
    """Its store is to be closed."""
    store = Store.open(fresh_board(directory / "board.db"), artifacts=directory / "artifacts")
    return Desk(store, a_roster("ops", "critic"), now)
