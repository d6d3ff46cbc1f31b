"""Carrying out a plan: each command becomes one conditional change of the board, or one call of the gateway.

The rule: the board decides. A command whose task has gone on since the plan was made is refused by the verb
it calls, and counted as outdated; nothing else happens.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
import trio

from scheduler.archivist import Archivist
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.store import Store
from scheduler.checks import ChecksError
from scheduler.core import commands as c
from scheduler.core import endings, halting, running, watching
from scheduler.core.change import Change
from scheduler.core.errors import Refused
from scheduler.core.notices import notices
from scheduler.core.records import Attempt, Notice
from scheduler.core.sighting import RunRef, RunState
from scheduler.core.snapshot import AgentRecord
from scheduler.core.states import Status
from scheduler.core.task import Task
from scheduler.reviewing import Reviewing
from scheduler.runs import Runner
from scheduler.starter import Starter
from scheduler.tickets import Tickets
from shared import clock

_UNKNOWN: Final = "the gateway knows nothing of its run"
ANSWER: Final = "answer.md"
SMOOTHING: Final = 0.3
"""The share of the latest run in what an agent's runs typically take."""

Note = Callable[[str, str, Mapping[str, object]], None]
"""(action, subject, details): into the audit log."""
Acted = Callable[[str, str, float], None]
"""(kind of command, `done`, `outdated` or `failed`, seconds): into the metrics."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Done:
    """What was done, for the tick's report."""

    counts: Counter[str] = field(default_factory=Counter)
    """by the kind of command"""
    outdated: int = 0
    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


class Executor:
    """Stateless but for what it works with."""

    def __init__(
        self,
        *,
        board: Board,
        runner: Runner,
        starter: Starter,
        tickets: Tickets,
        reviewing: Reviewing,
        archivist: Archivist,
        note: Note,
        acted: Acted = lambda *_: None,
    ) -> None:
        self._board, self._runner, self._starter, self._tickets = board, runner, starter, tickets
        self._reviewing, self._archivist = reviewing, archivist
        self._note, self._acted = note, acted

    async def carry_out(self, plan: Sequence[c.Command], done: Done, now: float) -> None:
        """In the plan's order. Raises BoardError where the board cannot be written."""
        explanations = [each for each in plan if isinstance(each, c.Explain)]
        for command in plan:
            if isinstance(command, c.Explain):
                continue
            kind, began, status = type(command).__name__, clock.monotonic(), "failed"
            try:
                if await self._one(command, done, now):
                    done.counts[kind] += 1
                    status = "done"
            except Refused as refusal:
                done.outdated += 1
                status = "outdated"
                _log.debug("command_outdated", command=kind, reason=refusal.message)
            except ChecksError as error:
                _log.warning("output_not_checked", error=str(error))  # the next tick tries again
            except OSError as error:
                _log.warning("command_failed", command=kind, error=str(error))
            except BoardError:
                raise
            except Exception:  # one task, whatever is wrong with it, keeps nobody else's tick
                _log.exception("command_failed", command=kind)
            finally:
                self._acted(kind, status, clock.monotonic() - began)
        if explanations:
            await self._board.write(Store.explain, explanations)

    async def _one(self, command: c.Command, done: Done, now: float) -> bool:
        """Whether it is done, so far as it can be now."""
        if isinstance(command, c.OnTheBoard):
            verb = partial(watching.VERBS[type(command)], asked=command, now=now)
            await self._task(command.task, verb, now)
            return True
        match command:
            case c.Start(task, agent):
                await self._claim(task, agent, done, now)
            case c.EndRun():
                await self._end(command, done, now)
            case c.ProveStart(attempt):
                await self._attempt(attempt, partial(running.started, now=now), now)
            case c.NeverStarted(attempt):
                return await self._never_started(attempt, now)
            case c.StopRun():
                return await self._stop(command, done, now)
            case c.CheckOutput() | c.AskReviewer() | c.ApplyReview():
                await self._reviewing.carry_out(command, now)
            case c.ArchiveSession(attempt):
                self._archivist.want(attempt)
        return True

    # -- the board alone ------------------------------------------------------------------------------

    async def _task(self, task: str, verb: Callable[[Task, Attempt | None], Change], now: float) -> Change:
        return await self._board.write(Store.change, task, verb, now=now)

    async def _attempt(self, attempt: Attempt, verb: Callable[[Task, Attempt], Change], now: float) -> Change:
        return await self._board.write(Store.change_attempt, attempt.task, attempt.epoch, verb, now=now)

    async def _claim(self, task: str, agent: str, done: Done, now: float) -> None:
        judged = (await self._board.read(Store.task, task)).review_of
        if judged and (await self._board.read(Store.task, judged)).status is not Status.REVIEW:
            unneeded = partial(
                halting.cancel, reason=f"{judged} has been decided", who=endings.SCHEDULER, now=now
            )
            await self._task(task, unneeded, now)
            return
        claimed = await self._board.write(Store.claim, task, agent=agent, now=now, lease_seconds=None)
        done.started.append(claimed.task.id)
        try:
            await trio.to_thread.run_sync(self._tickets.write, claimed.token, agent)
        except OSError as error:  # the starter writes it, with a key drawn anew
            _log.warning("ticket_not_written", task=task, error=error.strerror)

    # -- runs -----------------------------------------------------------------------------------------

    async def _end(self, command: c.EndRun, done: Done, now: float) -> None:
        attempt, seen = command.attempt, command.seen
        if seen.state is RunState.OK:
            await self._take_answer(attempt, seen.answer, now)
        change = await self._attempt(attempt, partial(running.run_ended, seen=seen, now=now), now)
        if seen.state is RunState.OK and attempt.started_at is not None:
            await self._remember(attempt, now - attempt.started_at)
        await self._over(change, done, str(seen.state), seen.error)

    async def _never_started(self, attempt: Attempt, now: float) -> bool:
        """After a look of its own, and while nobody starts anything: it may have begun a moment ago."""
        if self._starter.still.locked():
            return False  # no tick waits for a start; the next one asks again
        async with self._starter.still:
            ref = RunRef(attempt.run_id, attempt.session_key, attempt.agent)
            seen = (await self._runner.look([ref])).runs.get(attempt.run_id)
            if seen is None or seen.state is not RunState.ABSENT:
                return False
            await self._attempt(attempt, partial(running.never_started, why=_UNKNOWN, now=now), now)
        await trio.to_thread.run_sync(self._tickets.remove, attempt.run_id)
        return True

    async def _take_answer(self, attempt: Attempt, answer: str, now: float) -> None:
        """The answer of a run that handed in nothing final becomes its output."""
        task = await self._board.read(Store.task, attempt.task)
        if task.epoch != attempt.epoch or not task.held:
            return
        if not answer.strip() or answer.strip() == "NO_REPLY":  # OpenClaw's word for an empty answer
            return
        outputs = await self._board.read(Store.outputs, attempt.task, attempt.epoch)
        if any(each.final for each in outputs):
            return  # it was sent back, and what the agent says at the end is no second try
        received = await trio.to_thread.run_sync(self._board.store.receive, answer.encode())
        await self._board.write(
            Store.hand_in, task.id, received, name=ANSWER, final=True, author=attempt.agent, now=now
        )

    async def _stop(self, command: c.StopRun, done: Done, now: float) -> bool:
        attempt = command.attempt
        if not await self._runner.stop(attempt.session_key):
            _log.warning("run_not_stopped", task=attempt.task, epoch=attempt.epoch, why=command.why)
            return False  # it may live: its claim stays, and the next tick tries again
        verb = partial(running.run_stopped, then=command.then, why=command.why, now=now)
        change = await self._attempt(attempt, verb, now)
        told = notices(change.task, command.notify, "stopped", f"stopped, {command.why}.", now)
        await self._tell(told)
        await self._over(change, done, "stopped", command.why)
        return True

    async def _over(self, change: Change, done: Done, end: str, why: str) -> None:
        attempt = change.attempt
        assert attempt is not None
        await trio.to_thread.run_sync(self._tickets.remove, attempt.run_id)
        done.ended.append(attempt.run_id)
        _log.info("run_ended", task=attempt.task, epoch=attempt.epoch, end=end, reason=why)
        self._note("run_ended", attempt.run_id, {"agent": attempt.agent, "end": end, "reason": why})

    async def _remember(self, attempt: Attempt, seconds: float) -> None:
        agents = await self._board.read(Store.agents)
        known = agents.get(attempt.agent) or AgentRecord(attempt.agent)
        before = known.run_seconds or seconds
        typical = (1 - SMOOTHING) * before + SMOOTHING * seconds
        await self._board.write(Store.remember_run_seconds, attempt.agent, typical)

    async def _tell(self, notices: Sequence[Notice]) -> None:
        if notices:
            await self._board.write(Store.tell, notices)
