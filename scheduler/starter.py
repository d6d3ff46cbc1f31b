"""The one task that starts runs: what the tick intends, one after the other, with pauses in between.

The rule: a start is repeated until it is proven. The intent is on the board before anything happens, and the
gateway starts nothing twice under one key: so whatever becomes of this process, an intended run is begun
once, by us or by the process after us.

Bursts of starts lose runs in OpenClaw; that is what the spacing is for.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from secrets import token_hex, token_urlsafe

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.core import running
from scheduler.core.change import Change
from scheduler.core.claims import ClaimToken, hash_of
from scheduler.core.errors import Refused
from scheduler.core.holding import rekey
from scheduler.core.prompt import Telling, prompt
from scheduler.core.records import Attempt, Run
from scheduler.core.task import Task
from scheduler.runs import Order, Runner, StartState
from scheduler.tickets import Tickets
from shared import clock

_log = structlog.get_logger()


async def no_tools() -> str:
    """Where no gateway could have them."""
    return ""


class Starter:
    """Owner of the line of intended runs. `still` is held while one of them is being started."""

    def __init__(
        self,
        *,
        board: Board,
        runner: Runner,
        tickets: Tickets,
        blackboard: Path,
        spacing_seconds: float,
        on_start: Callable[[Attempt], None],
        tools: Callable[[], Awaitable[str]] = no_tools,
    ) -> None:
        """`tools`: what the names of the board's MCP tools begin with just now, '' without any."""
        self._board, self._runner, self._tickets = board, runner, tickets
        self._blackboard, self._spacing_seconds, self._on_start = blackboard, spacing_seconds, on_start
        self._tools = tools
        self.still = trio.Lock()
        self._line: dict[str, Attempt] = {}  # by run id, in the order of their start
        self._more = trio.Event()

    def want(self, attempts: Sequence[Attempt]) -> None:
        """Start these; those that stand in the line already keep their place."""
        for attempt in attempts:
            self._line.setdefault(attempt.run_id, attempt)
        if self._line:
            self._more.set()

    async def run(self) -> None:
        """Until cancelled; a start under way is not cut off in the middle of what it writes."""
        while True:
            await self._more.wait()
            self._more = trio.Event()
            while self._line:
                attempt = next(iter(self._line.values()))
                try:
                    async with self.still:
                        begun = await self._start(attempt)
                except BoardBroken:
                    raise
                # Busy, away, full: it stays intended, and is wanted again. Released meanwhile: it is not.
                except (BoardError, OSError, Refused) as error:
                    begun = False
                    _log.warning("run_not_started", run=attempt.run_id, error=str(error))
                self._line.pop(attempt.run_id, None)
                if begun:
                    await trio.sleep(self._spacing_seconds)

    async def _start(self, attempt: Attempt) -> bool:
        """Whether the gateway was asked. What is not proven stays intended: the next tick wants it again."""
        task = await self._board.read(Store.task, attempt.task)
        stored = await self._board.read(Store.attempt, attempt.task, attempt.epoch)
        if stored is None or stored.run is not Run.INTENDED or not task.held or task.epoch != attempt.epoch:
            return False
        ticket = await self._ticket(task, stored)
        order = await self._order(task, stored, ticket)
        result = await self._runner.start(order)
        log = _log.bind(task=task.id, epoch=stored.epoch, agent=stored.agent)
        match result.state:
            case StartState.STARTED:
                await self._note(stored, running.started)
                log.info("run_started", priority=task.priority.word)
                self._on_start(stored)
            case StartState.REFUSED:
                log.warning("run_refused", reason=result.reason)
                await self._note(stored, partial(running.refused, why=result.reason))
            case _:
                log.warning("run_start_unproven", state=str(result.state), reason=result.reason)
        return True

    async def _ticket(self, task: Task, attempt: Attempt) -> Path:
        """The run's pass. A process that ended between the claim and the ticket took the secret with it."""
        path = self._tickets.path(attempt.run_id)
        if await trio.Path(path).exists():
            return path
        token = ClaimToken(task.id, attempt.epoch, token_urlsafe(24))
        now = clock.wall()

        def verb(task: Task, current: Attempt | None) -> Change:
            return rekey(task, current, hash_of(token.secret), epoch=attempt.epoch, now=now)

        await self._board.write(Store.change, task.id, verb, now=now)
        return await trio.to_thread.run_sync(self._tickets.write, token, attempt.agent)

    async def _order(self, task: Task, attempt: Attempt, ticket: Path) -> Order:
        thread = await self._board.read(Store.thread, task.id)
        before = [each for each in thread.attempts if each.epoch < attempt.epoch]
        telling = Telling(
            task=task,
            agent=attempt.agent,
            said=sorted((*thread.comments, *thread.observations), key=lambda each: each.at),
            outputs=thread.outputs,
            last=before[-1] if before else None,
            blackboard=str(self._blackboard),
            ticket=str(ticket),
            fence=f"===== {token_hex(8)}",
            tools=await self._tools(),
        )
        return Order(
            task_id=task.id,
            epoch=attempt.epoch,
            agent=attempt.agent,
            session_key=attempt.session_key,
            run_id=attempt.run_id,
            prompt=prompt(telling),
            priority=task.priority.word,
            ticket_file=str(ticket),
        )

    async def _note(self, attempt: Attempt, verb: Callable[..., Change]) -> None:
        now = clock.wall()
        try:
            await self._board.write(
                Store.change_attempt, attempt.task, attempt.epoch, partial(verb, now=now), now=now
            )
        except Refused as refusal:
            _log.info("run_outdated", task=attempt.task, epoch=attempt.epoch, reason=refusal.message)
