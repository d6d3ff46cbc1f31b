"""From the task sources onto the board: what waits for an agent, and what others did with what is here.

The rule: this only brings news. It starts nothing, and it tells the sources nothing of our tasks: that is
`mirroring`'s. What is as it was at the last look costs no write. One source that is away or slow keeps the
news of the others from nobody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
import trio

from scheduler.blackboard import mirrored, mirrors
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.core.exchange import intake
from scheduler.core.exchange.intake import Key, Known
from scheduler.core.exchange.items import Item
from scheduler.core.task import Source
from scheduler.exchange.absence import Absence, known_of, tasks_of
from scheduler.exchange.foreign_work import ForeignWork
from scheduler.exchange.found import Found, Tally
from scheduler.exchange.taking_over import Kind, Taken, TakingOver
from scheduler.roster import Agent, Roster
from scheduler.sources.protocol import SourceError, TaskSource
from scheduler.sources.shared import KEEP_SECONDS
from shared import clock

SURVEY_SECONDS: Final = 120.0
"""Between two looks at what is in progress there."""

_log = structlog.get_logger()


@dataclass(slots=True)
class _Listed:
    """What the sources answered. `asked_at`: of each that did."""

    items: dict[Source, Sequence[Item]] = field(default_factory=dict)
    asked_at: dict[Source, float] = field(default_factory=dict)
    unavailable: dict[Source, str] = field(default_factory=dict)


class Intake:
    """Stateless: what was seen stands on the board."""

    def __init__(
        self,
        board: Board,
        sources: Mapping[Source, TaskSource],
        roster: Callable[[], Roster],
        taking_over: TakingOver,
        *,
        listing_seconds: float = KEEP_SECONDS,
    ) -> None:
        """`taking_over`: the one that everybody has. `listing_seconds`: so old may be what a source lists,
        though not what it says of one item.
        """
        self._board, self._sources, self._roster = board, sources, roster
        self._listing_seconds = listing_seconds
        self._taking_over = taking_over
        self._absence = Absence(board, sources, roster, taking_over)
        self._foreign_work = ForeignWork(board, roster)

    # -- what waits for one agent -------------------------------------------------------------------------

    async def look(self, agent: Agent, *, dry_run: bool = False) -> Found:
        """What `agent` has to do, brought onto the board; in a dry run only told. Raises BoardError."""
        listed = await self._list(agent)
        items = intake.in_order(each for listing in listed.items.values() for each in listing)
        before = await self._board.read(mirrored.digest, agent.id)
        prints = await trio.to_thread.run_sync(intake.prints_of, items)
        known = await known_of(self._board, items)
        now_is = await _digest(items, prints, known, listed)
        if now_is == before:
            return Found(items, unavailable=listed.unavailable, digest=now_is, unchanged=True)
        tally = Tally()
        await self._bring(items, prints, known, listed, tally, dry_run=dry_run)
        absent = {
            source: sorted(
                await self._board.read(mirrored.expected, source, agent.id)
                - {each.external_id for each in listing}
            )
            for source, listing in listed.items.items()
        }
        for source, seen in (await self._absence.ask_after(absent, tally)).items():
            await self._absence.take(self._sources[source], seen, tally, dry_run=dry_run)
        if not dry_run:
            now_is = await _digest(items, prints, await known_of(self._board, items), listed)
            if not tally.counts[Kind.LATER] and not tally.failed:
                await self._board.write(mirrors.remember_digest, agent.id, now_is)
        return Found(
            items,
            tuple(tally.new),
            changed=tally.counts[Kind.CHANGED],
            skipped=tally.counts[Kind.SKIPPED],
            failed=tuple(tally.failed),
            unavailable=listed.unavailable,
            digest=now_is,
        )

    async def _list(self, agent: Agent) -> _Listed:
        listed = _Listed()

        async def one(source: TaskSource) -> None:
            asked_at = clock.wall() - self._listing_seconds
            try:
                listed.items[source.name] = await source.list_todo(agent)
                listed.asked_at[source.name] = asked_at
            except SourceError as error:
                listed.unavailable[source.name] = str(error)

        async with trio.open_nursery() as nursery:
            for source in self._sources.values():
                nursery.start_soon(one, source)
        return listed

    async def _bring(
        self,
        items: Sequence[Item],
        prints: Mapping[Key, str],
        known: Mapping[Key, Known],
        listed: _Listed,
        tally: Tally,
        *,
        dry_run: bool,
    ) -> None:
        """What waits for something else comes after it: round after round, while one brings something."""
        on_board = {source: tasks_of(known, source) for source in listed.items}

        async def decide(item: Item) -> Taken:
            key, here = (item.source, item.external_id), on_board[item.source]
            return await self._taking_over.decide(
                item,
                known.get(key, Known()),
                here,
                asked_at=listed.asked_at[item.source],
                now_is=prints[key],
                dry_run=dry_run,
            )

        left, waiting = list(items), list[Item]()
        while left:
            waiting = []
            for item in left:
                if intake.unmet(item, on_board[item.source]):
                    waiting.append(item)
                    continue
                taken = await decide(item)
                tally.add(taken)
                if taken.kind is Kind.NEW:
                    on_board[item.source][item.external_id] = taken.what
            left = [] if len(waiting) == len(left) else waiting
        for item in waiting:
            tally.add(await decide(item))

    # -- what is in progress there ------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled: each source is looked at for itself, again and again."""
        async with trio.open_nursery() as nursery:
            for source in self._sources.values():
                nursery.start_soon(self._survey_for_ever, source)

    async def _survey_for_ever(self, source: TaskSource) -> None:
        while True:
            if self._roster().agents:
                try:
                    await self.survey(source)
                except BoardBroken:
                    raise
                except BoardError as error:
                    _log.warning("survey_failed", source=source.name, error=str(error))
            await trio.sleep(SURVEY_SECONDS)

    async def survey(self, source: TaskSource) -> None:
        """What is in progress there, put together with what is here, once. Raises BoardError."""
        asked_at = clock.wall() - self._listing_seconds
        try:
            items = await source.list_in_progress()
        except SourceError as error:
            _log.info("source_unavailable", source=source.name, error=str(error))
            return
        tally = Tally()
        known = await known_of(self._board, items)
        on_board = tasks_of(known, source.name)
        others: list[tuple[Item, Known]] = []
        for item in items:
            found = known.get((item.source, item.external_id), Known())
            if found.task is None:
                others.append((item, found))
            else:
                tally.add(await self._taking_over.decide(item, found, on_board, asked_at=asked_at))
        under_way = await self._board.read(mirrored.under_way, source.name)
        listed = {each.external_id for each in items}
        absent = {source.name: [each for each in under_way if each not in listed]}
        for seen in (await self._absence.ask_after(absent, tally)).values():
            await self._absence.take(source, seen, tally, count_waiting=True)
            await self._foreign_work.forget(source, seen.items)
        await self._foreign_work.see(source, others)


async def _digest(
    items: Iterable[Item], prints: Mapping[Key, str], known: Mapping[Key, Known], listed: _Listed
) -> str:
    states = {
        key: f"{each.task.id} {each.task.status} {each.row.stage} {each.row.missing_since or ''}"
        for key, each in known.items()
        if each.task is not None and each.row is not None
    }
    # Of thousands it takes a while, and whoever is asked meanwhile should answer.
    return await trio.to_thread.run_sync(partial(intake.digest, items, prints, states, listed.unavailable))
