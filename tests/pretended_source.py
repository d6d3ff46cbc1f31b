"""A task source in memory, for tests: what is in it, what it was told, and how it can fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import trio

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.roster import Agent
from scheduler.sources.protocol import SourceRefusedError, SourceUnavailableError


class Killed(BaseException):
    """The process has ended here."""


@dataclass(eq=False)
class PretendedSource:
    """`items` may be changed by a test, as people do there. `at` is called at the end of each write."""

    name: Source = Source.WORKBOARD
    after_recovery: Stage = Stage.TODO
    items: dict[str, Item] = field(default_factory=dict)
    handles: dict[str, str] = field(default_factory=dict)
    told: list[tuple[str, ...]] = field(default_factory=list)
    """what it was told: the verb, the id, and what else matters"""
    asked: list[str] = field(default_factory=list)
    down: str = ""
    """it does not answer, and says why"""
    refuses: dict[str, str] = field(default_factory=dict)
    """verbs that it refuses, and why"""
    at: Callable[[str], None] = lambda _verb: None
    before: Callable[[str, str], None] = lambda _verb, _id: None
    """is called at the beginning of each"""
    look_again: Callable[[], None] = lambda: None
    """is called when one item is asked for"""
    gate: trio.Event | None = None
    """writes wait for it"""

    def put(
        self, external_id: str, title: str = "a card", stage: Stage = Stage.TODO, **fields: object
    ) -> Item:
        """Somebody adds it, or changes it."""
        given: dict[str, object] = {"agent": "ops", "created_at": 1.0, "updated_at": 1.0} | fields
        item = Item(self.name, external_id, title, stage, **given)  # type: ignore[arg-type]  # fields of an Item
        self.items[external_id] = item
        return item

    def move(self, external_id: str, stage: Stage, **fields: object) -> None:
        """Somebody moves it."""
        self.handles.pop(external_id, None)
        self.items[external_id] = replace(self.items[external_id], stage=stage, **fields)  # type: ignore[arg-type]  # likewise

    def stage(self, external_id: str) -> Stage:
        return self.items[external_id].stage

    async def list_todo(self, agent: Agent) -> Sequence[Item]:
        await self._asked("list_todo")
        return [each for each in self.items.values() if each.agent == agent.id and each.stage is Stage.TODO]

    async def list_in_progress(self) -> Sequence[Item]:
        await self._asked("list_in_progress")
        return [
            each
            for each in self.items.values()
            if each.agent is not None and each.stage in {Stage.IN_PROGRESS, Stage.BLOCKED}
        ]

    async def look(self, external_id: str) -> Item:
        await self._asked(f"look {external_id}")
        self.look_again()
        found = self.items.get(external_id)
        return Item(self.name, external_id, "", Stage.GONE) if found is None else found

    async def look_all(self, external_ids: Sequence[str]) -> Sequence[Item]:
        return [await self.look(each) for each in external_ids]

    async def claim(self, external_id: str, agent: Agent) -> str:
        await self._told("claim", external_id, agent.id)
        self._move(external_id, Stage.IN_PROGRESS, worked_on_by=agent.id)
        handle = self.handles[external_id] = f"secret-{len(self.told)}"
        self.at("claim")
        return handle

    async def keep(self, external_id: str, agent: Agent, handle: str) -> None:
        await self._told("keep", external_id, agent.id)
        if self.handles.get(external_id) != handle:
            raise SourceRefusedError("the claim is not yours")
        self.at("keep")

    async def comment(self, external_id: str, text: str) -> None:
        await self._told("comment", external_id, text)
        self._touch(external_id)
        self.at("comment")

    async def release(self, external_id: str, agent: Agent, handle: str, *, stage: Stage, why: str) -> None:
        del agent, handle
        await self._told("release", external_id, stage.value, why)
        self._move(external_id, stage, worked_on_by=None)
        self.at("release")

    async def finish(self, external_id: str, agent: Agent, handle: str, *, summary: str) -> None:
        del agent, handle
        await self._told("finish", external_id, summary)
        self._move(external_id, Stage.DONE, worked_on_by=None)
        self.at("finish")

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, *_ in self.told]

    def _move(self, external_id: str, stage: Stage, **fields: object) -> None:
        self.move(external_id, stage, **fields)
        self._touch(external_id)

    def _touch(self, external_id: str) -> None:
        item = self.items[external_id]
        self.items[external_id] = replace(item, updated_at=(item.updated_at or 0.0) + 1)

    async def _asked(self, what: str) -> None:
        await trio.lowlevel.checkpoint()
        self.asked.append(what)
        if self.down:
            raise SourceUnavailableError(self.down)

    async def _told(self, verb: str, external_id: str, *more: str) -> None:
        await trio.lowlevel.checkpoint()
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise SourceUnavailableError(self.down)
        self.before(verb, external_id)
        if verb in self.refuses:
            raise SourceRefusedError(self.refuses[verb])
        if external_id not in self.items:
            raise SourceRefusedError("there is no such card")
        self.told.append((verb, external_id, *more))
