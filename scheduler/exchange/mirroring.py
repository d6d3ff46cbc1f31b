"""From the board to the task sources: each is told how the tasks stand that it has, and what came of them.

The rule: level, not edge. Nothing is queued: whatever a row says less than its task is told, in this order:

1.  Look there first. Somebody may have changed something since, and a change made there wins.
2.  Write down what is about to be said. A process that ends in the middle leaves a row that says what may
    stand there by our own word.
3.  Say it, and write down that it has arrived.

So a process may be killed anywhere: the next one looks, sees its own word or its absence, and repeats it.
Each source has a task of its own, so that one that is slow or away keeps no other.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog
import trio

from scheduler.blackboard import mirrored, mirrors
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.core.errors import Refused
from scheduler.core.exchange import mirror
from scheduler.core.exchange.following import Follow, follow
from scheduler.core.exchange.intake import Heed, Known, may_come_back, standing
from scheduler.core.exchange.items import Stage
from scheduler.core.exchange.mirror import Claim, Effect, Finish, Keep, Mirror, Note, Release
from scheduler.core.exchange.summary import MOST_CHARACTERS, summary
from scheduler.core.records import Attempt
from scheduler.core.task import Source, Task
from scheduler.exchange.taking_over import Kind, TakingOver
from scheduler.roster import Roster
from scheduler.sources.protocol import SourceError, SourceRefusedError, TaskSource
from shared import clock

CALM_SECONDS: Final = 0.5
"""After being woken: many changes in a row are one reason to look."""
SWEEP_SECONDS: Final = 3600.0
"""Between two looks at everything, in case something was changed in another way than by an event."""
STEPS: Final = 8
"""Of one item in a row; more is the next pass's."""

_log = structlog.get_logger()


@dataclass(slots=True)
class _Line:
    """What one source may have to be told. Changed by its task alone."""

    open: dict[str, float] = field(default_factory=dict)
    """external id -> when to look again (Unix seconds)"""
    after: int | None = None
    """the last event that was seen"""
    swept_at: float = -math.inf
    not_before: float = 0.0
    failures: int = 0
    """calls in a row that it did not answer"""
    woken: trio.Event = field(default_factory=trio.Event)


class Mirroring:
    """Owner of what is left to be told: one line for each source."""

    def __init__(
        self,
        board: Board,
        sources: Mapping[Source, TaskSource],
        roster: Callable[[], Roster],
        taking_over: TakingOver,
    ) -> None:
        """`taking_over`: the one that everybody has."""
        self._board, self._sources, self._roster = board, sources, roster
        self._taking_over = taking_over
        self._lines = {name: _Line() for name in sources}

    async def run(self) -> None:
        """Until cancelled; what is cut off in the middle is said again."""
        async with trio.open_nursery() as nursery:
            for source in self._sources.values():
                nursery.start_soon(self._serve, source, self._lines[source.name])

    def wake(self) -> None:
        """Something has happened on the board."""
        for line in self._lines.values():
            line.woken.set()

    async def _serve(self, source: TaskSource, line: _Line) -> None:
        while True:
            try:
                seconds = await self.tell(source)
            except BoardBroken:
                raise
            except BoardError as error:
                _log.warning("mirroring_failed", source=source.name, error=str(error))
                seconds = mirror.FIRST_BACKOFF_SECONDS
            with trio.move_on_after(seconds) as pause:
                await line.woken.wait()
            if not pause.cancelled_caught:
                await trio.sleep(CALM_SECONDS)
            line.woken = trio.Event()

    async def tell(self, source: TaskSource) -> float:
        """What can be told now; seconds until there may be more. Raises BoardError."""
        line, now = self._lines[source.name], clock.wall()
        if not 0 <= now - line.swept_at < SWEEP_SECONDS:
            line.after, line.swept_at = None, now
        last, touched = await self._board.read(mirrored.news, source.name, line.after)
        line.open |= dict.fromkeys(touched, 0.0)
        line.after = last
        for external_id, at in sorted(line.open.items(), key=lambda each: each[1]):
            if at > (now := clock.wall()) or line.not_before > now:
                break
            again_at = await self._item(source, line, external_id)
            line.open[external_id] = again_at
            if math.isinf(again_at):
                del line.open[external_id]
        at = max(min(line.open.values(), default=math.inf), line.not_before)
        return min(max(at - clock.wall(), 0.0), SWEEP_SECONDS)

    async def _item(self, source: TaskSource, line: _Line, external_id: str) -> float:
        """Tell what there is to tell of one item; when to look again."""
        for _ in range(STEPS):
            known = await self._board.read(mirrored.one, source.name, external_id)
            row, task, attempt, now = known.row, known.task, known.attempt, clock.wall()
            if row is None or task is None:
                return math.inf
            effect = mirror.due(task, attempt, row, now, after_recovery=source.after_recovery)
            if effect is None:
                return mirror.due_at(task, attempt, row, now)
            try:
                goes_on = await self._step(source, known, row, task, effect)
            except SourceError as error:
                await self._not_said(source, row, str(error))
                line.failures += 1
                line.not_before = clock.wall() + mirror.backoff(line.failures)
            except Refused as refusal:  # somebody was faster: what is to be told now is another question
                _log.debug("mirror_outdated", item=external_id, reason=refusal.message)
            else:
                line.failures, line.not_before = 0, 0.0
                if not goes_on:
                    break
        return clock.wall() + mirror.FIRST_BACKOFF_SECONDS

    async def _step(self, source: TaskSource, known: Known, row: Mirror, task: Task, effect: Effect) -> bool:
        """Whether there may be more to tell at once."""
        if mirror.stage_of(effect) is not None:
            asked_at = clock.wall()
            item = await source.look(row.external_id)
            taken = await self._taking_over.take(item, asked_at=asked_at)
            if taken.kind not in {Kind.SAME, Kind.FAILED}:
                return taken.kind is not Kind.LATER  # what is to be told now is another question
        begun = mirror.begun(row, effect, clock.wall())
        await self._board.write(mirrors.put, row, begun)
        try:
            handle = await self._say(source, begun, task, known.attempt, effect)
        except SourceRefusedError as error:
            await self._refused(source, known, begun, effect, str(error))
            return True
        turns = known.attempt.turns if known.attempt is not None else 0
        said = mirror.said(begun, effect, clock.wall(), handle=handle, turns=max(turns, task.turns))
        await self._board.write(mirrors.put, begun, said)
        if not isinstance(effect, Keep):
            _log.info(
                "source_told",
                source=source.name,
                item=row.external_id,
                task=task.id,
                what=type(effect).__name__.lower(),
            )
        return True

    async def _say(
        self, source: TaskSource, row: Mirror, task: Task, attempt: Attempt | None, effect: Effect
    ) -> str:
        """The handle, of a claim."""
        item, rules_for = row.external_id, self._roster().rules_for
        match effect:
            case Claim(agent):
                return await source.claim(item, rules_for(agent))
            case Keep(agent):
                await source.keep(item, rules_for(agent), row.handle)
            case Note(text):
                await source.comment(item, text)
            case Release(agent, stage, why):
                await source.release(item, rules_for(agent), row.handle, stage=stage, why=why)
            case Finish(agent):
                text = await self._summary(task, attempt)
                await source.finish(item, rules_for(agent), row.handle, summary=text)
        return ""

    async def _summary(self, task: Task, attempt: Attempt | None) -> str:
        outputs = await self._board.read(Store.outputs, task.id, task.epoch)
        final = next((each for each in reversed(outputs) if each.final), None)
        text = ""
        if final is not None:
            path = trio.Path(self._board.store.output_file(final))
            try:
                async with await path.open("rb") as file:
                    # One character is four bytes at most; the last one may be cut.
                    text = (await file.read(4 * MOST_CHARACTERS + 4)).decode(errors="ignore")
            except OSError as error:  # what it was called is said all the same
                _log.warning("output_unreadable", task=task.id, error=error.strerror)
        return summary(task, attempt, outputs, text if "\0" not in text else "")

    async def _not_said(self, source: TaskSource, row: Mirror, error: str) -> None:
        """`row`: as it was before the call; that it was tried may stand in it since, or not."""
        is_now = (await self._board.read(mirrored.one, source.name, row.external_id)).row
        _log.info("source_unavailable", source=source.name, item=row.external_id, error=error)
        if is_now is not None:
            counted = is_now if is_now.tries > row.tries else replace(is_now, tries=is_now.tries + 1)
            try:
                await self._board.write(mirrors.put, is_now, mirror.not_said(counted, error, clock.wall()))
            except Refused as refusal:  # it has learnt something meanwhile: it is looked at again anyway
                _log.debug("mirror_outdated", item=row.external_id, reason=refusal.message)

    async def _refused(self, source: TaskSource, known: Known, row: Mirror, effect: Effect, why: str) -> None:
        """They will not, so what is true there holds."""
        item, now, task = await source.look(row.external_id), clock.wall(), known.task
        assert task is not None
        stage = standing(replace(item, waits_for=()), task, {}, self._roster().agents)
        # Our word of this moment has not arrived, whatever stands there.
        telling = tuple(each for each in row.telling if each is not mirror.stage_of(effect))
        denied, told = replace(row, telling=telling), replace(known, row=row)
        if may_come_back(item, task, row, now):
            missing = replace(row, missing_since=row.missing_since or now)
            await self._board.write(mirrors.put, row, mirror.not_said(missing, why, now))
        elif isinstance(effect, Keep):
            await self._board.write(mirrors.put, row, mirror.overruled(row, effect, row.stage, why, now))
        elif isinstance(effect, Claim) and stage is Stage.IN_PROGRESS and task.held:
            await self._taking_over.heed(Heed(Follow.HOLD, stage), item, told, now)
        elif denied.foreign(stage):
            found = follow(task, denied, stage, alone=known.alone, worked_on_by=item.worked_on_by)
            await self._taking_over.heed(Heed(found, stage), item, told, now)
        else:
            await self._taking_over.overruled(row, mirror.overruled(row, effect, stage, why, now), why)
