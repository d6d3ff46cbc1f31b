"""OpenClaw's WorkBoard: cards that its agents and their people share.

Measured on 2026.9.6 with the plugin enabled:

- `openclaw workboard list` reads the file of the board itself, so it answers while the gateway is down. It
  costs six seconds of a core; `workboard.cards.list` of the gateway, one, for the same cards.
- It is a plugin, and OpenClaw comes with it switched off. Then the command says so, or that there is no such
  command, and the gateway knows none of the methods.
- A claim lasts 30 minutes from its last heartbeat, and is never taken over while the card is `running` and
  the claim not long past its end. Whoever has the owner's name needs no token: so what we claimed before a
  restart we can keep, release and finish after it.
- An owner can have one card at a time. A task that waits for its review still holds its card here, so the
  next one is claimed in the longer name of `cards.owner_of`.
- `complete` and `block` ask for nobody's claim when they come through the gateway. We ask first, by a
  heartbeat, which does.
- Claiming a card that is blocked, done or in triage leaves it there, claimed.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import trio

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.gateway import Answer, AnswerLostError, Gateway, GatewayError, OpenClawError
from scheduler.roster import Agent, Roster
from scheduler.sources import cards, reading
from scheduler.sources.protocol import SourceOffError, SourceRefusedError, SourceUnavailableError
from shared import clock

MAX_WORDS: Final = 2_000
"""Of a comment, a summary or a reason, in UTF-16 units, as JavaScript counts."""

_SWITCHED_OFF: Final = re.compile(
    r"plugin is disabled|plugins\.entries\.workboard\.enabled=false|`plugins\.allow` excludes"
    r"|does not know the command"
)
"""Of the command: never switched on, off, not among those that are allowed, or not there."""
_ABOUT_THE_CARD: Final = re.compile(r"(?<!\.)\b(card|claim|claimed|owner)\b", re.IGNORECASE)
"""In a refusal. Any other, as of a missing token or an unknown method `workboard.cards.claim`, is about the
gateway.
"""
_NOT_CLAIMED: Final = "not claimed"
_ONE_AT_A_TIME: Final = "already has active"


class WorkBoard:
    """A `TaskSource`. It holds nothing but whether the gateway lists cards."""

    name = Source.WORKBOARD
    after_recovery = Stage.TODO

    def __init__(self, gateway: Gateway, roster: Callable[[], Roster]) -> None:
        self._gateway, self._roster = gateway, roster
        self._gateway_lists = True

    async def list_all(self) -> Sequence[Item]:
        """Every card, however it stands: one question for all agents."""
        try:
            answer = await self._gateway.ask("workboard", "list")
        except OpenClawError as error:
            off = isinstance(error, GatewayError) and _SWITCHED_OFF.search(str(error))
            kind = SourceOffError if off else SourceUnavailableError
            raise kind(f"the WorkBoard cannot be listed: {error}") from error
        return await self._items(answer)

    async def _items(self, answer: Answer) -> Sequence[Item]:
        found = answer.get("cards")
        if not isinstance(found, list):
            raise SourceUnavailableError("the WorkBoard's list has no cards in it")
        # In a thread: of ten thousand cards it takes a good part of a second.
        return await trio.to_thread.run_sync(cards.items_of, found, self._roster().agents, clock.wall())

    async def list_todo(self, agent: Agent) -> Sequence[Item]:
        return reading.waiting_for(agent, await self.list_all())

    async def list_in_progress(self) -> Sequence[Item]:
        return reading.under_way(await self.list_all())

    async def look(self, external_id: str) -> Item:
        (item,) = await self.look_all([external_id])
        return item

    async def look_all(self, external_ids: Sequence[str]) -> Sequence[Item]:
        """For one question."""
        there = {item.external_id: item for item in await self._as_they_are()}
        return [
            there.get(each) or Item(Source.WORKBOARD, each, f"card {each}", Stage.GONE)
            for each in external_ids
        ]

    async def _as_they_are(self) -> Sequence[Item]:
        """By the gateway, for a sixth of the price; where that does not list cards, by the command."""
        if self._gateway_lists:
            try:
                return await self._items(await self._gateway.call("workboard.cards.list", {}))
            except OpenClawError as error:
                self._gateway_lists = not (isinstance(error, GatewayError) and error.final)
            except SourceUnavailableError:  # an answer of another kind
                self._gateway_lists = False
        return await self.list_all()

    async def claim(self, external_id: str, agent: Agent) -> str:
        try:
            return await self._claim(external_id, agent.id)
        except SourceRefusedError as refusal:
            if _ONE_AT_A_TIME in str(refusal):
                return await self._claim(external_id, cards.owner_of(agent.id, external_id))
            item = await self.look(external_id)
            if item.stage is Stage.IN_PROGRESS and item.worked_on_by == agent.id:
                return ""  # by us, before: its token was told once, and is not needed
            if item.stage is not Stage.BLOCKED or item.waits_for:
                raise
        # It was blocked with others before it, and they are done.
        await self._call("release", id=external_id, ownerId=agent.id, status="todo")
        return await self._claim(external_id, agent.id)

    async def keep(self, external_id: str, agent: Agent, handle: str) -> None:
        await self._held("heartbeat", external_id, agent, handle)

    async def comment(self, external_id: str, text: str) -> None:
        if text.strip():
            await self._call("comment", id=external_id, body=_cut(text))

    async def release(self, external_id: str, agent: Agent, handle: str, *, stage: Stage, why: str) -> None:
        if not await self._ours(external_id, agent, handle, stage):
            return
        if stage is Stage.BLOCKED:
            await self._held("block", external_id, agent, handle, reason=_cut(why))
            return
        # Said first: at worst it is said twice, never not at all.
        await self.comment(external_id, why)
        await self._held("release", external_id, agent, handle, status="todo")

    async def finish(self, external_id: str, agent: Agent, handle: str, *, summary: str) -> None:
        if await self._ours(external_id, agent, handle, Stage.DONE):
            await self._held("complete", external_id, agent, handle, summary=_cut(summary))

    async def _claim(self, card_id: str, owner: str, *, again: bool = True) -> str:
        answer = await self._call("claim", id=card_id, ownerId=owner)
        token, status = reading.words(answer.get("token")), reading.inside(answer, "card", "status")
        assigned = reading.words(reading.inside(answer, "card", "agentId"), reading.MAX_ID).lower()
        ours = assigned in {"", owner.partition(":")[0]}
        if ours and status in {"running", None}:
            return token
        goes_on = ours and again and status == "blocked"
        # Back to where our claim has taken it from; else it stays as it is.
        back = {"status": "todo"} if goes_on or status == "running" else {}
        await self._call("release", id=card_id, ownerId=owner, token=token, **back)
        if goes_on:
            return await self._claim(card_id, owner, again=False)
        why = f"it is in {reading.words(status, 40)}" if ours else f"it is {assigned}'s now"
        raise SourceRefusedError(f"the card is not to be taken up: {why}")

    async def _ours(self, card_id: str, agent: Agent, handle: str, wanted: Stage) -> bool:
        """Whether there is something to do to get it there. Raises SourceRefusedError: it is not ours."""
        try:
            answer = await self._held("heartbeat", card_id, agent, handle)
            claimed, stage = True, cards.STAGES.get(reading.words(reading.inside(answer, "card", "status")))
        except SourceRefusedError as refusal:
            if _NOT_CLAIMED not in str(refusal):
                raise
            claimed, stage = False, (await self.look(card_id)).stage
        if stage in {Stage.DONE, Stage.GONE} and stage is not wanted:
            raise SourceRefusedError(f"the card is {stage} there")
        return claimed or stage is not wanted

    async def _held(self, method: str, card_id: str, agent: Agent, handle: str, **more: str) -> Answer:
        """What only the owner of a claim may do, in either of our two names."""
        proof = {"token": handle} if handle else {}
        try:
            return await self._call(method, id=card_id, ownerId=agent.id, **proof, **more)
        except SourceRefusedError as refusal:
            if handle or "owner does not match" not in str(refusal):
                raise
            owner = cards.owner_of(agent.id, card_id)
            return await self._call(method, id=card_id, ownerId=owner, **more)

    async def _call(self, method: str, **params: str) -> Answer:
        try:
            return await self._gateway.call(f"workboard.cards.{method}", params)
        except GatewayError as error:
            refused = error.final and _ABOUT_THE_CARD.search(str(error))
            raise (SourceRefusedError if refused else SourceUnavailableError)(str(error)) from error
        except OpenClawError as error:
            # Somebody else's command may refuse in plain words.
            refused = isinstance(error, AnswerLostError) and _ABOUT_THE_CARD.search(str(error))
            raise (SourceRefusedError if refused else SourceUnavailableError)(str(error)) from error


def _cut(text: str) -> str:
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * MAX_WORDS:
        return text
    return units[: 2 * (MAX_WORDS - 1)].decode("utf-16-le", "ignore") + "…"
