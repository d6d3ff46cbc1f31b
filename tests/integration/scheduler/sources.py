"""The three task sources, each with what a test does behind its back: `Side`.

What stands in `add` is what somebody writes there; `said` is all that people read beside an item.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from scheduler.gateway import Answer, Gateway
from scheduler.roster import Agent, Roster
from scheduler.roster.model import CLASSES, agent_of
from scheduler.sources.multica import Multica
from scheduler.sources.protocol import TaskSource
from scheduler.sources.todo import TodoFiles
from scheduler.sources.workboard import WorkBoard
from tests import multica_stand_in, openclaw_stand_in
from tests.integration.openclaw.gateway import RealGateway

OPS_ID = "d3804433-9e2e-4199-a92b-a153049b3bc9"
MAIN_ID = "46bdd4a6-5c64-475a-92ef-36a763602fa1"


class Side(Protocol):
    """One source."""

    source: TaskSource
    roster: Roster
    has_parents: bool
    """whether an item there can wait for another"""

    async def add(self, title: str, agent: str | None = "ops", *, after: str = "") -> str:
        """A new item, to be taken up; its id."""

    async def said(self, external_id: str) -> str:
        """Everything that was said beside it."""

    async def closed(self, external_id: str) -> None:
        """A person says that it is done."""

    async def removed(self, external_id: str) -> None:
        """A person deletes it."""


def a_roster(**agents: dict[str, Any]) -> Roster:
    """These agents, with what each has besides its class."""
    made = {name: _agent(name, fields) for name, fields in agents.items()}
    return Roster(made, CLASSES, {}, {}, "UTC", "run_once", None, None, ())


def _agent(name: str, fields: dict[str, Any]) -> Agent:
    return replace(agent_of(name, "development", CLASSES["development"], missed="run_once"), **fields)


class WorkBoardSide:
    """On the stand-in of OpenClaw."""

    has_parents = True

    def __init__(self, directory: Path) -> None:
        self.stand_in = openclaw_stand_in.StandIn(directory)
        self.roster = a_roster(ops={}, main={})
        gateway = Gateway(self.stand_in.command, self.stand_in.environ)
        self.source: TaskSource = WorkBoard(gateway, lambda: self.roster)

    async def add(self, title: str, agent: str | None = "ops", *, after: str = "") -> str:
        links = [{"type": "parent", "targetCardId": after}] if after else []
        return self.stand_in.add_card(
            title, **({"agentId": agent} if agent else {}), metadata={"links": links}
        )

    async def said(self, external_id: str) -> str:
        comments = self.stand_in.card(external_id)["metadata"].get("comments", [])
        return "\n".join(comment["body"] for comment in comments)

    async def closed(self, external_id: str) -> None:
        self.stand_in.change_card(external_id, status="done", metadata={})

    async def removed(self, external_id: str) -> None:
        self.stand_in.remove_card(external_id)


class QuickList(Gateway):
    """Lists cards by the gateway's own method: the same JSON, without the five seconds that a plugin's
    command takes to start.
    """

    async def ask(self, *arguments: str) -> Answer:
        if arguments == ("workboard", "list"):
            return await self.call("workboard.cards.list", {})
        return await super().ask(*arguments)


class RealWorkBoardSide:
    """On the real OpenClaw."""

    has_parents = True

    def __init__(self, gateway: RealGateway) -> None:
        self._gateway = QuickList(gateway.command, gateway.environ, timeout_seconds=90)
        self.roster = a_roster(ops={}, main={})
        self.source: TaskSource = WorkBoard(self._gateway, lambda: self.roster)

    async def everything(self) -> list[Any]:
        """All cards, as the gateway's method lists them."""
        cards: list[Any] = (await self._gateway.call("workboard.cards.list", {}))["cards"]
        return cards

    async def listed(self) -> list[Any]:
        """All cards, as the command lists them."""
        cards: list[Any] = (await Gateway.ask(self._gateway, "workboard", "list"))["cards"]
        return cards

    async def add(self, title: str, agent: str | None = "ops", *, after: str = "") -> str:
        more = {"agentId": agent} if agent else {}
        card = {"title": title, "status": "todo", **more, "parents": [after] if after else []}
        answer = await self._gateway.call("workboard.cards.create", card)
        return str(answer["card"]["id"])

    async def said(self, external_id: str) -> str:
        cards = (await self._gateway.call("workboard.cards.list", {}))["cards"]
        (card,) = [card for card in cards if card["id"] == external_id]
        return "\n".join(comment["body"] for comment in card["metadata"].get("comments", []))

    async def closed(self, external_id: str) -> None:
        await self._gateway.call("workboard.cards.complete", {"id": external_id})

    async def removed(self, external_id: str) -> None:
        await self._gateway.call("workboard.cards.delete", {"id": external_id})


class MulticaSide:
    """On the stand-in of Multica."""

    has_parents = True
    _ids: dict[str | None, str | None] = {  # noqa: RUF012 - never changed
        "ops": OPS_ID,
        "main": MAIN_ID,
        None: None,
        "stranger": "99999999-9e2e-4199-a92b-a153049b3bc9",
    }

    def __init__(self, directory: Path) -> None:
        self.stand_in = multica_stand_in.StandIn(directory)
        self.roster = a_roster(ops={"multica_id": OPS_ID}, main={"multica_id": MAIN_ID}, other={})
        self.source: TaskSource = Multica(
            self.stand_in.command, self.stand_in.environ, "", lambda: self.roster
        )

    async def add(self, title: str, agent: str | None = "ops", *, after: str = "") -> str:
        return self.stand_in.add(title, assignee=self._ids[agent], parent_issue_id=after or None)

    async def said(self, external_id: str) -> str:
        return "\n".join(self.stand_in.comments(external_id))

    async def closed(self, external_id: str) -> None:
        self.stand_in.change(external_id, status="done", status_category="done")

    async def removed(self, external_id: str) -> None:
        self.stand_in.remove(external_id)


class TodoSide:
    """On documents, one for each agent."""

    has_parents = False

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.roster = a_roster(ops={"todo_files": ("ops.md",)}, main={"todo_files": ("main.md",)})
        self.source: TaskSource = TodoFiles(lambda: self.roster, directory)

    def document(self, agent: str | None = "ops") -> Path:
        """Of that agent; nobody's where there is none."""
        return self.directory / f"{agent or 'nobody'}.md"

    async def add(self, title: str, agent: str | None = "ops", *, after: str = "") -> str:
        assert not after
        document = self.document(agent)
        before = {item.external_id for item in await self._items(agent)}
        with document.open("a", encoding="utf-8") as file:
            file.write(f"- [ ] {title}\n")
        new = [item.external_id for item in await self._items(agent) if item.external_id not in before]
        return new[0] if new else ""

    async def _items(self, agent: str | None) -> list[Any]:
        known = self.roster.agents.get(agent or "")
        return list(await self.source.list_todo(known)) if known else []

    async def said(self, external_id: str) -> str:
        return _line((await self.source.look(external_id)).place)

    async def closed(self, external_id: str) -> None:
        _edit((await self.source.look(external_id)).place, lambda line: line.replace("[ ]", "[x]"))

    async def removed(self, external_id: str) -> None:
        _edit((await self.source.look(external_id)).place, lambda line: "")


def _line(place: str) -> str:
    path, _, number = place.rpartition(":")
    return Path(path).read_text(encoding="utf-8").splitlines()[int(number) - 1]


def _edit(place: str, change: Callable[[str], str]) -> None:
    path, _, number = place.rpartition(":")
    lines = Path(path).read_text(encoding="utf-8").splitlines(keepends=True)
    lines[int(number) - 1] = change(lines[int(number) - 1])
    Path(path).write_text("".join(lines), encoding="utf-8")
