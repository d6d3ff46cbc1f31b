"""What the ticker meets in the place of OpenClaw and the sidecar."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar, cast

import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.core import deciding
from scheduler.core.capacity import Capacity
from scheduler.core.commands import ApplyReview, AskReviewer, CheckOutput
from scheduler.core.sighting import RunRef, RunState, Sighting
from scheduler.core.snapshot import BoardSnapshot
from scheduler.last_look import LastLook
from scheduler.reviewing import Reviewing
from scheduler.roster import Roster
from scheduler.runs import Order, StartResult, StartState
from scheduler.sidecar import Sidecar, SidecarView
from scheduler.simulate.budget import Band
from scheduler.simulate.team import PlayedTeam
from shared import clock

COUNT_SECONDS: Final = 60.0


class PlayedRunner:
    """A `Runner` on the team. Owner of when the next run may begin: starts keep their distance."""

    def __init__(
        self, team: PlayedTeam, spacing_seconds: float, requests: Callable[[str], int | None]
    ) -> None:
        """`requests`: of a run of this task, if somebody has said how many."""
        self._team, self._spacing_seconds, self._requests = team, spacing_seconds, requests
        self._next_at = 0.0
        self._counted_at: dict[str, float] = {}  # by run

    async def start(self, order: Order) -> StartResult:
        """See Runner."""
        await trio.lowlevel.checkpoint()
        at = max(clock.wall(), self._next_at)
        self._next_at = at + self._spacing_seconds
        self._team.begin(
            order.run_id,
            order.agent,
            order.session_key,
            band=Band.of(order.priority),
            at=at,
            fixed=self._requests(order.task_id),
        )
        return StartResult(StartState.STARTED)

    async def look(self, runs: Sequence[RunRef]) -> Sighting:
        """See Runner. The turns of a run under way are counted once a minute: each count is a write."""
        await trio.lowlevel.checkpoint()
        now = clock.wall()
        seen = {each.run_id: self._team.seen(each.run_id) for each in runs}
        for run, one in seen.items():
            if one.state is RunState.RUNNING:
                if now - self._counted_at.get(run, 0.0) < COUNT_SECONDS:
                    seen[run] = replace(one, turns=None)
                else:
                    self._counted_at[run] = now
        return Sighting(up=True, at=now, runs=seen)

    async def stop(self, session_key: str) -> bool:
        """See Runner."""
        await trio.lowlevel.checkpoint()
        self._team.stop(session_key)
        return True

    async def archive(self, session_key: str, directory: Path) -> bool:
        """See Runner."""
        del session_key, directory
        await trio.lowlevel.checkpoint()
        return True


_P = ParamSpec("_P")
_T = TypeVar("_T")


class StraightBoard(Board):
    """A board that nobody else uses. It is asked at once, as a thread would take longer than the answer; and
    not again for a picture that nothing has changed since.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._picture: BoardSnapshot | None = None

    async def read(
        self, question: Callable[Concatenate[Store, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        await trio.lowlevel.checkpoint()
        if question is not Store.snapshot:
            return question(self.store, *args, **kwargs)
        if self._picture is None:
            self._picture = self.store.snapshot()
        return cast("_T", self._picture)  # which is what the question answers

    async def write(
        self, verb: Callable[Concatenate[Store, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        await trio.lowlevel.checkpoint()
        self._picture = None
        return verb(self.store, *args, **kwargs)


class PlayedReviewing(Reviewing):
    """Every result passes its checks, as it is no more than a word; who judges it is asked as always."""

    def __init__(self, board: Board, state_dir: Path, roster: Roster) -> None:
        super().__init__(board, roster=lambda: roster, environ={}, state_dir=state_dir)
        self._played_board = board

    async def carry_out(self, command: CheckOutput | AskReviewer | ApplyReview, now: float) -> None:
        if not isinstance(command, CheckOutput):
            await super().carry_out(command, now)
            return
        verb = partial(deciding.judge, findings=(), epoch=command.epoch, now=now)
        await self._played_board.write(Store.change, command.task, verb, now=now)


class NeverAway(LastLook):
    """In a simulation somebody always looks, so there is nothing to keep in a file."""

    async def unseen_seconds(self) -> float:
        await trio.lowlevel.checkpoint()
        return 0.0

    async def note(self) -> None:
        await trio.lowlevel.checkpoint()


class PlayedSidecar(Sidecar):
    """Answers for the budget, without a network."""

    def __init__(self, team: PlayedTeam) -> None:
        super().__init__(None)
        self._team = team

    async def look(self) -> SidecarView:
        """Never away."""
        await trio.lowlevel.checkpoint()
        now, budget = clock.wall(), self._team.budget
        used, limit = budget.window(now)
        capacity = Capacity(
            known=True,
            effective_rpm=budget.rpm,
            spare_rpm=budget.spare_rpm(now),
            window_used=used,
            window_limit=limit,
            queue_depth=budget.queued(),
        )
        return SidecarView(capacity, self._team.activities())
