"""Carrying out a plan: each command becomes one conditional change of the board, or one call of the gateway.

The rule: the board decides. A command whose task has gone on since the plan was made is refused by the verb
it calls, and counted as outdated; nothing else happens.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.store import Store
from scheduler.checks import ChecksError, OutputFile, run_checks
from scheduler.core import commands as c
from scheduler.core import deciding, endings, expects, running, watching
from scheduler.core.change import Change
from scheduler.core.errors import Refused
from scheduler.core.notices import notices
from scheduler.core.records import Attempt, Notice, Output
from scheduler.core.reviews import review_draft, review_verdict
from scheduler.core.sighting import RunState
from scheduler.core.snapshot import AgentRecord
from scheduler.core.task import Task
from scheduler.runs import Runner
from scheduler.starter import Starter
from scheduler.tickets import Tickets
from shared import clock

_UNKNOWN: Final = "the gateway knows nothing of its run"
ANSWER: Final = "answer.md"
SMOOTHING: Final = 0.3
"""The share of the latest run in what an agent's runs typically take."""
MAX_VERDICT_BYTES: Final = 64 * 1024

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
        commands: Mapping[str, tuple[str, ...]],
        environ: Mapping[str, str],
        state_dir: Path,
        note: Note,
        acted: Acted = lambda *_: None,
    ) -> None:
        self._board, self._runner, self._starter, self._tickets = board, runner, starter, tickets
        self._commands, self._environ = commands, environ
        self._state_dir, self._note, self._acted = state_dir, note, acted

    async def carry_out(self, plan: Sequence[c.Command], done: Done, now: float) -> None:
        """In the plan's order. Raises BoardError where the board cannot be written."""
        explanations = [each for each in plan if isinstance(each, c.Explain)]
        for command in plan:
            if isinstance(command, c.Explain):
                continue
            kind, began, status = type(command).__name__, clock.monotonic(), "failed"
            try:
                await self._one(command, done, now)
                done.counts[kind] += 1
                status = "done"
            except Refused as refusal:
                done.outdated += 1
                status = "outdated"
                _log.debug("command_outdated", command=kind, reason=refusal.message)
            except ChecksError as error:
                _log.warning("output_not_checked", error=str(error))  # the next tick tries again
            except OSError as error:  # one task's file keeps nobody else's tick
                _log.warning("command_failed", command=kind, error=str(error))
            finally:
                self._acted(kind, status, clock.monotonic() - began)
        if explanations:
            await self._board.write(Store.explain, explanations)

    async def _one(self, command: c.Command, done: Done, now: float) -> None:
        if isinstance(command, c.OnTheBoard):
            verb = partial(watching.VERBS[type(command)], asked=command, now=now)
            await self._task(command.task, verb, now)
            return
        match command:
            case c.Start(task, agent):
                await self._claim(task, agent, done, now)
            case c.EndRun():
                await self._end(command, done, now)
            case c.ProveStart(attempt) | c.NeverStarted(attempt):
                began = isinstance(command, c.ProveStart)
                what = running.started if began else partial(running.never_started, why=_UNKNOWN)
                async with self._starter.still:  # it may be being started at this very moment
                    await self._attempt(attempt, partial(what, now=now), now)
            case c.StopRun():
                await self._stop(command, done, now)
            case c.CheckOutput(task, epoch):
                await self._check(task, epoch, now)
            case c.AskReviewer():
                await self._ask_reviewer(command, now)
            case c.ApplyReview():
                await self._apply_review(command, now)
            case c.ArchiveSession(attempt):
                await self._archive(attempt, now)

    # -- the board alone ------------------------------------------------------------------------------

    async def _task(self, task: str, verb: Callable[[Task, Attempt | None], Change], now: float) -> Change:
        return await self._board.write(Store.change, task, verb, now=now)

    async def _attempt(self, attempt: Attempt, verb: Callable[[Task, Attempt], Change], now: float) -> Change:
        return await self._board.write(Store.change_attempt, attempt.task, attempt.epoch, verb, now=now)

    async def _claim(self, task: str, agent: str, done: Done, now: float) -> None:
        claimed = await self._board.write(Store.claim, task, agent=agent, now=now, lease_seconds=None)
        done.started.append(claimed.task.id)
        try:
            await trio.to_thread.run_sync(self._tickets.write, claimed.token, agent)
        except OSError as error:  # the starter writes it, with a key drawn anew
            _log.warning("ticket_not_written", task=task, error=error.strerror)

    # -- runs -----------------------------------------------------------------------------------------

    async def _end(self, command: c.EndRun, done: Done, now: float) -> None:
        attempt, seen = command.attempt, command.seen
        answered = seen.state is RunState.OK and await self._take_answer(attempt, seen.answer, now)
        change = await self._attempt(
            attempt, partial(running.run_ended, seen=seen, answered=answered, now=now), now
        )
        if seen.state is RunState.OK and attempt.started_at is not None:
            await self._remember(attempt, now - attempt.started_at)
        await self._over(change, done, str(seen.state), seen.error)

    async def _take_answer(self, attempt: Attempt, answer: str, now: float) -> bool:
        """The answer of a run that handed in nothing final becomes its output."""
        task = await self._board.read(Store.task, attempt.task)
        if task.epoch != attempt.epoch or not task.held:
            return True
        if not answer.strip() or answer.strip() == "NO_REPLY":  # OpenClaw's word for an empty answer
            return False
        received = await trio.to_thread.run_sync(self._board.store.receive, answer.encode())
        await self._board.write(
            Store.hand_in, task.id, received, name=ANSWER, final=True, author=attempt.agent, now=now
        )
        return True

    async def _stop(self, command: c.StopRun, done: Done, now: float) -> None:
        attempt = command.attempt
        if not await self._runner.stop(attempt.session_key):
            _log.warning("run_not_stopped", task=attempt.task, epoch=attempt.epoch, why=command.why)
            return  # it may live: its claim stays, and the next tick tries again
        verb = partial(running.run_stopped, then=command.then, why=command.why, now=now)
        change = await self._attempt(attempt, verb, now)
        told = notices(change.task, command.notify, "stopped", f"stopped, {command.why}.", now)
        await self._tell(told)
        await self._over(change, done, "stopped", command.why)

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

    async def _archive(self, attempt: Attempt, now: float) -> None:
        # Again, for a process that ended between writing down the end and this.
        await trio.to_thread.run_sync(self._tickets.remove, attempt.run_id)
        directory = self._board.store.artifacts / attempt.task / str(attempt.epoch) / "session"
        if await self._runner.archive(attempt.session_key, directory):
            await self._board.write(Store.archived, attempt.task, attempt.epoch, now=now)
            _log.info("session_archived", task=attempt.task, epoch=attempt.epoch)

    async def _tell(self, notices: Sequence[Notice]) -> None:
        if notices:
            await self._board.write(Store.tell, notices)

    # -- final outputs --------------------------------------------------------------------------------

    async def _check(self, task_id: str, epoch: int, now: float) -> None:
        task = await self._board.read(Store.task, task_id)
        thread = await self._board.read(Store.thread, task_id)
        mine = [output for output in thread.outputs if output.epoch == epoch]
        files = [self._file(output) for output in mine]
        wanted = [expects.parse(each) for each in task.expects]
        if task.review == "accept_nonempty" and not any(output.size_bytes for output in mine):
            findings: tuple[str, ...] = ("there is no output that is not empty",)
        else:
            found = await run_checks(
                wanted,
                files,
                schema_dir=self._state_dir / "schemas",
                commands=self._commands,
                environ=self._environ,
            )
            findings = tuple(map(str, found))
        await self._task(task_id, partial(deciding.judge, findings=findings, epoch=epoch, now=now), now)

    def _file(self, output: Output) -> OutputFile:
        return OutputFile(
            output.name, self._board.store.output_file(output), output.size_bytes, final=output.final
        )

    async def _ask_reviewer(self, command: c.AskReviewer, now: float) -> None:
        task = await self._board.read(Store.task, command.task)
        thread = await self._board.read(Store.thread, command.task)
        paths = [
            str(self._board.store.output_file(each)) for each in thread.outputs if each.epoch == task.epoch
        ]
        draft = review_draft(task, command.reviewer, paths)
        await self._board.write(Store.create, draft, who=endings.SCHEDULER, now=now)

    async def _apply_review(self, command: c.ApplyReview, now: float) -> None:
        thread = await self._board.read(Store.thread, command.review)
        final = next((each for each in reversed(thread.outputs) if each.final), None)
        text = "" if final is None else await self._head(final)
        verdict, reason = review_verdict(text)
        by = final.author if final else endings.SCHEDULER

        verb = partial(deciding.decide, verdict=verdict, by=by, reason=reason, spends=True, now=now)
        await self._task(command.task, verb, now)

    async def _head(self, output: Output) -> str:
        async with await trio.open_file(self._board.store.output_file(output), "rb") as file:
            return (await file.read(MAX_VERDICT_BYTES)).decode("utf-8", "replace")
