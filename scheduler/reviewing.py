"""What becomes of a final output: it is checked, then accepted, judged by another agent, or left to a person.

The rule: what an output says is read by `checks`, in processes of their own, and no tick waits for those:
they run beside it, a few at a time. The verdict is the core's.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.checks import ChecksError, OutputFile, run_checks
from scheduler.core import deciding, endings, expects
from scheduler.core.commands import ApplyReview, AskReviewer, CheckOutput
from scheduler.core.errors import Refused
from scheduler.core.expects import Kind
from scheduler.core.records import Output
from scheduler.core.reviews import review_draft, review_verdict
from scheduler.roster import Roster
from shared import clock

MAX_VERDICT_BYTES: Final = 64 * 1024


_AT_ONCE: Final = frozenset({Kind.FILE, Kind.NONEMPTY})
"""What a look at the board's own records tells."""
SIDE_BY_SIDE: Final = 2

_log = structlog.get_logger()


class Reviewing:
    """Owner of the checks under way."""

    def __init__(
        self,
        board: Board,
        *,
        roster: Callable[[], Roster],
        environ: Mapping[str, str],
        state_dir: Path,
    ) -> None:
        self._board, self._roster, self._environ = board, roster, environ
        self._schema_dir = state_dir / "schemas"
        self._places = trio.CapacityLimiter(SIDE_BY_SIDE)
        self._line: list[CheckOutput] = []  # to be begun
        self._under_way: set[CheckOutput] = set()  # those in the line included
        self._more = trio.Event()

    async def run(self) -> None:
        """Until cancelled: where the checks run that take a while."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._more.wait()
                self._more = trio.Event()
                while self._line:
                    nursery.start_soon(self._check_beside, self._line.pop(0))

    async def carry_out(self, command: CheckOutput | AskReviewer | ApplyReview, now: float) -> None:
        """Raises Refused where the task has gone on, ChecksError where nothing can be said."""
        match command:
            case CheckOutput():
                await self._check_or_begin_to(command, now)
            case AskReviewer():
                await self._ask_reviewer(command, now)
            case ApplyReview():
                await self._apply_review(command, now)

    async def _check_or_begin_to(self, command: CheckOutput, now: float) -> None:
        task = await self._board.read(Store.task, command.task)
        if all(expects.parse(each).kind in _AT_ONCE for each in task.expects):
            await self._check(command.task, command.epoch, now)
        elif command not in self._under_way:
            self._under_way.add(command)
            self._line.append(command)
            self._more.set()

    async def _check_beside(self, command: CheckOutput) -> None:
        """Its verdict changes the board, and that wakes the ticker."""
        try:
            async with self._places:
                await self._check(command.task, command.epoch, clock.wall())
        except Refused as refusal:
            _log.debug("command_outdated", command="CheckOutput", reason=refusal.message)
        except BoardBroken:
            raise
        except (ChecksError, BoardError, ValueError, OSError) as error:
            _log.warning("output_not_checked", task=command.task, error=str(error))
        finally:
            self._under_way.discard(command)  # what was not judged, the next tick asks for again

    async def _check(self, task_id: str, epoch: int, now: float) -> None:
        task = await self._board.read(Store.task, task_id)
        mine = await self._board.read(Store.outputs, task_id, epoch)
        files = [self._file(output) for output in mine]
        wanted = [expects.parse(each) for each in task.expects]
        if task.review == "accept_nonempty" and not any(output.size_bytes for output in mine):
            findings: tuple[str, ...] = ("there is no output that is not empty",)
        else:
            found = await run_checks(
                wanted,
                files,
                schema_dir=self._schema_dir,
                commands=self._roster().commands,
                environ=self._environ,
            )
            findings = tuple(map(str, found))
        verb = partial(deciding.judge, findings=findings, epoch=epoch, now=now)
        await self._board.write(Store.change, task_id, verb, now=now)

    def _file(self, output: Output) -> OutputFile:
        return OutputFile(
            output.name, self._board.store.output_file(output), output.size_bytes, final=output.final
        )

    async def _ask_reviewer(self, command: AskReviewer, now: float) -> None:
        task = await self._board.read(Store.task, command.task)
        outputs = await self._board.read(Store.outputs, command.task, task.epoch)
        paths = [str(self._board.store.output_file(each)) for each in outputs]
        draft = review_draft(task, command.reviewer, paths)
        # Not before the check that asks for it: a review is known by being younger.
        asked_at = max(now, task.checked_at or now)
        await self._board.write(Store.create, draft, who=endings.SCHEDULER, now=asked_at)

    async def _apply_review(self, command: ApplyReview, now: float) -> None:
        outputs = await self._board.read(Store.outputs, command.review)
        final = next((each for each in reversed(outputs) if each.final), None)
        text = "" if final is None else await self._head(final)
        verdict, reason = review_verdict(text)
        by = final.author if final else endings.SCHEDULER

        verb = partial(deciding.decide, verdict=verdict, by=by, reason=reason, spends=True, now=now)
        await self._board.write(Store.change, command.task, verb, now=now)

    async def _head(self, output: Output) -> str:
        async with await trio.open_file(self._board.store.output_file(output), "rb") as file:
            return (await file.read(MAX_VERDICT_BYTES)).decode("utf-8", "replace")
