"""Somebody else's work in a task source, watched: suspect after a while, given back after a longer one.

The rule: an agent of the team that took something up without us, and has not been heard of since, keeps it
from everybody. It is asked after there, once, and then the source has it back. When many look lost at once it
is probably us, and nothing is given back. What waits for somebody's judgement has lost nobody.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import structlog

from scheduler.blackboard import mirrored, mirrors
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.errors import Refused
from scheduler.core.exchange import foreign
from scheduler.core.exchange.foreign import Finding, Lost, Suspicious
from scheduler.core.exchange.intake import Known
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.exchange.sameness import clean_creator, clean_title
from scheduler.core.notices import CREATOR
from scheduler.core.records import Notice
from scheduler.roster import Agent, Roster
from scheduler.sources.protocol import SourceError, TaskSource
from shared import clock

_ALARM_SECONDS: Final = 3600.0

_log = structlog.get_logger()


class ForeignWork:
    """Stateless: the rows know since when, and what was said."""

    def __init__(self, board: Board, roster: Callable[[], Roster]) -> None:
        self._board, self._roster = board, roster

    async def see(self, source: TaskSource, seen: Sequence[tuple[Item, Known]]) -> None:
        """What is in progress there and has no task here. Raises BoardError."""
        roster, now = self._roster(), clock.wall()
        found: list[tuple[Item, Known, Agent, Finding]] = []
        for item, known in seen:
            agent = roster.agents.get(item.agent or "")
            if agent is None or item.stage is not Stage.IN_PROGRESS:
                continue
            if item.judged:
                await self._forget(item, known)
                continue
            finding = foreign.watch(
                item,
                known.row,
                suspect_after=agent.suspect_after_seconds,
                recover_after=agent.recover_after_seconds,
                now=now,
            )
            found.append((item, known, agent, finding))
        doubtful = foreign.probably_us([finding for *_, finding in found])
        if doubtful and any(isinstance(finding, Lost) for *_, finding in found):
            await self._alarm(source, len(found), now)
        for item, known, agent, finding in found:
            if isinstance(finding, Lost) and doubtful:
                continue
            try:
                await self._one(source, item, known, agent, finding)
            except SourceError as error:  # the next survey tries again
                _log.info("source_unavailable", source=source.name, item=item.external_id, error=str(error))
            except Refused as refusal:
                _log.info("item_outdated", source=source.name, item=item.external_id, reason=refusal.message)

    async def _one(
        self, source: TaskSource, item: Item, known: Known, agent: Agent, finding: Finding
    ) -> None:
        match finding:
            case Suspicious(row, still):
                # Before it is said, because it is to be said once. What we say is no sign of life, though it
                # looks like one; so there is none, until it is known.
                asked = replace(row, fingerprint="")
                await self._board.write(mirrors.put, known.row, asked)
                await source.comment(item.external_id, f"{_still(still)}: {agent.id} may be stuck.")
                after = await source.look(item.external_id)
                row = replace(row, fingerprint=foreign.sign_of_life(after))
                await self._board.write(mirrors.put, asked, row)
                _log.info("item_suspect", source=source.name, item=item.external_id, agent=agent.id)
            case Lost(row, still):
                now_is = await source.look(item.external_id)  # the list may be a minute old
                if now_is.stage is not Stage.IN_PROGRESS or now_is.judged:
                    return
                if foreign.sign_of_life(now_is) != row.fingerprint:
                    return
                why = f"{_still(still)}: {agent.id} seems to be gone, so it is given back."
                await source.release(item.external_id, agent, "", stage=source.after_recovery, why=why)
                await self._tell(item, agent, row.told_at or 0.0, why)
                assert known.row is not None  # it was suspect before
                await self._board.write(mirrors.forget, known.row)
                _log.warning("item_recovered", source=source.name, item=item.external_id, agent=agent.id)
            case _ if finding.row != known.row:
                await self._board.write(mirrors.put, known.row, finding.row)

    async def forget(self, source: TaskSource, seen: Iterable[Item]) -> None:
        """What was in progress there and is not any more. Raises BoardError."""
        for item in seen:
            if item.stage is not Stage.IN_PROGRESS:
                await self._forget(item, await self._board.read(mirrored.one, source.name, item.external_id))

    async def _forget(self, item: Item, known: Known) -> None:
        if known.row is None or known.row.task is not None:
            return
        try:
            await self._board.write(mirrors.forget, known.row)
        except Refused as refusal:  # it has become a task of ours meanwhile
            _log.info("item_outdated", source=item.source, item=item.external_id, reason=refusal.message)

    async def _tell(self, item: Item, agent: Agent, since: float, why: str) -> None:
        cause = f"{item.source}:{item.external_id}:lost:{since:.0f}"
        await self._board.write(
            Store.tell,
            [
                Notice(
                    f"{CREATOR}:{clean_creator(item)}" if each == CREATOR else each,
                    f"{cause}:{each}",
                    f"{item.source} {clean_title(item)}: {why}",
                    clock.wall(),
                )
                for each in agent.notify
            ],
        )

    async def _alarm(self, source: TaskSource, there: int, now: float) -> None:
        text = (
            f"Most of the {there} agents that work in {source.name} without us look lost at once: "
            "nothing is given back, look at the clock and at the source first."
        )
        cause = f"sources:{source.name}:lost:{now // _ALARM_SECONDS:.0f}"
        await self._board.write(Store.tell, [Notice("critical", cause, text, now, urgent=True)])


def _still(seconds: float) -> str:
    return f"No sign of life for {seconds / 60:.0f} min"
