"""Multica: issues, assigned to agents by the ids that the roster gives them.

What its documentation, its command line and its server say:

- A change of status may start a run of Multica's own, so each is made with `--no-start`; a status that is so
  already is no change.
- A comment on an agent's issue starts one too, and so does a mention in it, unless its first word is
  `/note`: so ours begin with that. Servers of before June 2026 do not know it.
- There are no claims: an issue in progress is its assignee's. Nothing runs out.
- A listing has no descriptions, and of a parent only its id. What is to be taken up is asked for by itself;
  of what is under way neither is known.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import trio

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.roster import Agent, Roster
from scheduler.sources import reading
from scheduler.sources.issues import item_of, parent_of, stage_of
from scheduler.sources.multica_command import MulticaCommand
from scheduler.sources.multica_reading import MulticaReader, few_at_a_time
from scheduler.sources.protocol import SourceError, SourceRefusedError, SourceUnavailableError

NOTE: Final = "/note"

T = TypeVar("T")
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
        ours = await _in_thread(
            lambda: [each for each in found if item_of(each, agents).agent and stage_of(each) is Stage.TODO]
        )
        parents = await self._reader.parents(ours)
        described, everybody = await self._reader.described(ours), self._agents() | agents
        return await _in_thread(
            lambda: [
                item_of(each, everybody, parent_is_open=parents.get(parent_of(each))) for each in described
            ]
        )

    async def list_in_progress(self) -> Sequence[Item]:
        agents = self._agents()
        if not agents:
            return ()
        found = [issue for status in _UNDER_WAY for issue in await self._reader.listing("--status", status)]
        # The newest of each: it may have moved from one listing into the next.
        newest = {issue["id"]: issue for issue in found}
        return reading.under_way(
            await _in_thread(lambda: [item_of(each, agents) for each in newest.values()])
        )

    async def look(self, external_id: str) -> Item:
        issue = await self._reader.get(external_id)
        if issue is None:
            return Item(Source.MULTICA, external_id, f"issue {external_id}", Stage.GONE)
        parent = parent_of(issue)
        is_open = await self._reader.is_open(parent) if parent else None
        return item_of(issue, self._agents(), parent_is_open=is_open)

    async def look_all(self, external_ids: Sequence[str]) -> Sequence[Item]:
        found: list[Item] = []
        failures: list[SourceError] = []

        async def look(external_id: str) -> None:
            try:
                found.append(await self.look(external_id))
            except SourceError as error:
                failures.append(error)

        await few_at_a_time(partial(look, each) for each in external_ids)
        if external_ids and not found:
            raise failures[0] if failures else SourceUnavailableError("multica does not answer in time")
        return found

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


async def _in_thread(work: Callable[[], T]) -> T:
    """Of ten thousand issues it takes a good part of a second."""
    return await trio.to_thread.run_sync(work)
