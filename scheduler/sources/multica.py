"""Multica: issues, assigned to agents by the ids that the roster gives them.

What its documentation, its command line and its server say:

- A change of status may start a run of Multica's own, so each is made with `--no-start`; a status that is so
  already is no change.
- A comment on an agent's issue starts one too, and so does a mention in it, unless its first word is
  `/note`: so ours begin with that. Servers of before June 2026 do not know it.
- There are no claims: an issue in progress is its assignee's. Nothing runs out.
- A listing has no descriptions, and of a parent only its id.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.roster import Agent, Roster
from scheduler.sources import reading
from scheduler.sources.issues import item_of, parent_of, stage_of
from scheduler.sources.multica_command import MulticaCommand
from scheduler.sources.multica_reading import MulticaReader
from scheduler.sources.protocol import SourceRefusedError, SourceUnavailableError

NOTE: Final = "/note"

_UNDER_WAY: Final = ("in_progress", "in_review", "blocked")
_GOES_ON: Final = frozenset({Stage.TODO, Stage.IN_PROGRESS, Stage.BLOCKED})


class Multica:
    """A `TaskSource`. Agents without a `multica_id` have nothing there."""

    name = Source.MULTICA
    after_recovery = Stage.BLOCKED

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        workspace: str,
        roster: Callable[[], Roster],
    ) -> None:
        """`workspace` '' is the command's own default."""
        self._multica = MulticaCommand(command, environ, workspace)
        self._reader = MulticaReader(self._multica)
        self._roster = roster

    async def list_todo(self, agent: Agent) -> Sequence[Item]:
        if agent.multica_id is None:
            return ()
        found = await self._reader.listing("--assignee-id", agent.multica_id, "--status", "todo")
        # Asked of what is ours only, because a command that knows no filter would give us everything.
        agents = {agent.multica_id.lower(): agent.id}
        ours = [each for each in found if item_of(each, agents).agent and stage_of(each) is Stage.TODO]
        still_open = await self._reader.open_parents(ours)
        everybody = self._agents()
        return [
            item_of(issue, everybody | agents, waits_for=tuple({parent_of(issue)} & still_open))
            for issue in await self._reader.described(ours)
        ]

    async def list_in_progress(self) -> Sequence[Item]:
        agents = self._agents()
        if not agents:
            return ()
        found = [issue for status in _UNDER_WAY for issue in await self._reader.listing("--status", status)]
        # The newest of each: it may have moved from one listing into the next.
        items = {item.external_id: item for item in (item_of(issue, agents) for issue in found)}
        return reading.under_way(items.values())

    async def look(self, external_id: str) -> Item:
        issue = await self._reader.get(external_id)
        if issue is None:
            return Item(Source.MULTICA, external_id, f"issue {external_id}", Stage.GONE)
        parent = parent_of(issue)
        waits_for = (parent,) if parent and await self._reader.is_open(parent) else ()
        return item_of(issue, self._agents(), waits_for=waits_for)

    async def claim(self, external_id: str, agent: Agent) -> str:
        await self._stage_of_ours(external_id, agent, _GOES_ON)
        await self._change(external_id, "in_progress")
        return ""

    async def keep(self, external_id: str, agent: Agent, handle: str) -> None:
        """Nothing runs out there."""

    async def comment(self, external_id: str, text: str) -> None:
        if not reading.identifier(external_id):
            raise SourceRefusedError("that is the id of no issue")
        if text.strip():
            said = f"{NOTE} {text}"
            await self._multica.tell("issue", "comment", "add", external_id, "--content-stdin", stdin=said)

    async def release(self, external_id: str, agent: Agent, handle: str, *, stage: Stage, why: str) -> None:
        if await self._stage_of_ours(external_id, agent, _GOES_ON) is stage:
            return
        # Said first: at worst it is said twice, never not at all.
        await self.comment(external_id, why)
        await self._change(external_id, "blocked" if stage is Stage.BLOCKED else "todo")

    async def finish(self, external_id: str, agent: Agent, handle: str, *, summary: str) -> None:
        if await self._stage_of_ours(external_id, agent, _GOES_ON | {Stage.DONE}) is Stage.DONE:
            return
        await self.comment(external_id, summary)
        await self._change(external_id, "done")

    async def _change(self, issue_id: str, status: str) -> None:
        await self._multica.tell("issue", "status", issue_id, status, "--no-start")

    async def _stage_of_ours(self, issue_id: str, agent: Agent, allowed: frozenset[Stage]) -> Stage | None:
        """None: it could not be looked at, and what is to be done tells. Raises SourceRefusedError where
        somebody else has it now, or has closed it.
        """
        try:
            issue = await self._reader.get(issue_id)
        except SourceUnavailableError:
            return None
        if issue is None:
            raise SourceRefusedError("the issue is not there any more")
        item = item_of(issue, self._agents())
        if item.agent != agent.id:
            raise SourceRefusedError(f"{item.place} is not assigned to {agent.id} any more")
        if item.stage not in allowed:
            raise SourceRefusedError(f"{item.place} is {reading.words(issue.get('status'), 40)} there")
        return item.stage

    def _agents(self) -> dict[str, str]:
        """From an id in Multica, in lower case, to the roster's."""
        agents = self._roster().agents.values()
        return {agent.multica_id.lower(): agent.id for agent in agents if agent.multica_id is not None}
