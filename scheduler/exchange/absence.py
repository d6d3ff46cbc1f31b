"""What should be in a list of a source and is not: asked after, and believed to be gone, or not yet.

The rule: it may be anything - moved, done, deleted, no longer for this agent - so it is asked for. When many
are gone at once, it is probably us, or somebody who mistyped an id in the roster: nothing ends for an hour.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import modf
from typing import Final

import structlog
import trio

from scheduler.blackboard import mirrored
from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core.exchange import intake
from scheduler.core.exchange.intake import Key, Known
from scheduler.core.exchange.items import Item, Stage
from scheduler.core.records import Notice
from scheduler.core.task import Source
from scheduler.exchange.found import Tally
from scheduler.exchange.taking_over import Kind, TakingOver
from scheduler.roster import Roster
from scheduler.sources.protocol import SourceError, TaskSource
from shared import clock

ASKED_AFTER: Final = 20
"""Items that one look asks after, at most: each may be a call of its own. The others come next time."""
TURN_SECONDS: Final = 60.0
"""Then it is other items' turn."""
ALARM_SECONDS: Final = 3600.0
_GOLDEN: Final = 0.6180339887
"""Of a circle: whoever goes on by it comes by everything, however often it looks."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a source answered when it was asked after single items."""

    items: Sequence[Item]
    asked_at: float


class Absence:
    """Stateless: since when something is missing stands on the board."""

    def __init__(
        self,
        board: Board,
        sources: Mapping[Source, TaskSource],
        roster: Callable[[], Roster],
        taking_over: TakingOver,
    ) -> None:
        self._board, self._sources, self._roster = board, sources, roster
        self._taking_over = taking_over

    async def ask_after(self, absent: Mapping[Source, Sequence[str]], tally: Tally) -> Mapping[Source, Seen]:
        """It is asked for, because it may be anything; of many some now, the others next time."""
        answers: dict[Source, Seen] = {}

        async def one(source: Source, ids: Sequence[str]) -> None:
            now = clock.wall()
            first = int(modf(now // TURN_SECONDS * _GOLDEN)[0] * len(ids))
            try:
                seen = await self._sources[source].look_all([*ids[first:], *ids[:first]][:ASKED_AFTER])
            except SourceError as error:
                _log.info("source_unavailable", source=source, error=str(error))
                seen = ()
            tally.counts[Kind.LATER] += len(ids) - len(seen)
            answers[source] = Seen(seen, now)

        async with trio.open_nursery() as nursery:
            for source, ids in absent.items():
                if ids:
                    nursery.start_soon(one, source, ids)
        return answers

    async def take(
        self,
        source: TaskSource,
        seen: Seen,
        tally: Tally,
        *,
        count_waiting: bool = False,
        dry_run: bool = False,
    ) -> None:
        """What was asked after. `count_waiting`: what waits there has not been asked after with it."""
        known = await known_of(self._board, seen.items)
        on_board, agents = tasks_of(known, source.name), self._roster().agents
        gone = {
            item.external_id: found
            for item in seen.items
            if (found := known.get((item.source, item.external_id))) and found.row and found.task
            if intake.standing(item, found.task, on_board, agents) is Stage.GONE
        }
        doubtful = bool(gone) and await self._doubtful(
            source, gone.values(), count_waiting=count_waiting, dry_run=dry_run
        )
        for item in seen.items:
            missing = gone.get(item.external_id)
            if doubtful and missing and not await self._taking_over.believed(missing, dry_run=dry_run):
                tally.counts[Kind.LATER] += 1
                continue
            found = known.get((item.source, item.external_id), Known())
            tally.add(
                await self._taking_over.decide(item, found, on_board, asked_at=seen.asked_at, dry_run=dry_run)
            )

    async def _doubtful(
        self, source: TaskSource, gone: Iterable[Known], *, count_waiting: bool, dry_run: bool
    ) -> bool:
        """Whether so many are gone at once that it is probably us, or somebody who mistyped."""
        there = await self._board.read(mirrored.count_open, source.name)
        whose = [each.task.assignee for each in gone if each.task is not None]
        away = len(whose)
        if count_waiting:
            away += sum([await self._not_listed(source, each or "") for each in sorted(set(whose), key=str)])
        doubtful = intake.too_many(away, there)
        if doubtful and not dry_run:
            await self._alarm(source, away, there)
        return doubtful

    async def _not_listed(self, source: TaskSource, agent_id: str) -> int:
        """So many of what waits there for this agent are in no list, either."""
        agent = self._roster().agents.get(agent_id)
        if agent is None:
            return 0
        expected = await self._board.read(mirrored.expected, source.name, agent_id)
        try:
            listed = await source.list_todo(agent)
        except SourceError:
            return len(expected)
        return len(expected - {each.external_id for each in listed})

    async def _alarm(self, source: TaskSource, gone: int, there: int) -> None:
        now = clock.wall()
        text = (
            f"{gone} of {there} items are gone from {source.name} at once, or no longer for their agents: "
            "nothing is cancelled for an hour."
        )
        cause = f"sources:{source.name}:gone:{now // ALARM_SECONDS:.0f}"
        await self._board.write(Store.tell, [Notice("critical", cause, text, now, urgent=True)])


async def known_of(board: Board, items: Iterable[Item]) -> Mapping[Key, Known]:
    """What the board has of these, and of what they wait for."""
    wanted: dict[Source, set[str]] = {}
    for each in items:
        wanted.setdefault(each.source, set()).update((each.external_id, *(each.waits_for or ())))
    return {
        (source, external_id): known
        for source, ids in wanted.items()
        for external_id, known in (await board.read(mirrored.known, source, ids)).items()
    }


def tasks_of(known: Mapping[Key, Known], of: Source) -> dict[str, str]:
    """From the ids of what this source has to the tasks here."""
    return {
        external_id: each.task.id
        for (source, external_id), each in known.items()
        if source is of and each.task is not None
    }
