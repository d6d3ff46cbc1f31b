"""Runs in OpenClaw's gateway. What its words mean is in ``core.runs``, with the table.

The rule: the session is asked first, and believed. An idempotency key is only the second lock: 2026.9.6
remembers keys for five minutes and not over a restart, and later a repeated start is accepted, and spoils the
session of the run that has long ended.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

from scheduler.core import runs as words
from scheduler.core.sighting import ENDED, RunRef, RunSeen, RunState, Sighting
from scheduler.gateway import (
    MAX_PARAMS_BYTES,
    AnswerLostError,
    Gateway,
    GatewayDownError,
    GatewayError,
    OpenClawError,
    encoded,
)
from scheduler.runs import transcript
from scheduler.runs.orders import Order, StartResult, StartState
from scheduler.runs.sessions import NO_TEXT, WHOLE_TEXT, Found, Listing, Sessions
from shared import clock

COUNT_AGAIN_SECONDS: Final = 60.0
"""Turns take minutes, and a count takes a second of a core."""

_MAY_RUN = frozenset({RunState.RUNNING, RunState.UNKNOWN})
_log = structlog.get_logger()


class OpenClawRunner:
    """A `Runner`. Owner of the turns that were last counted in each run under way."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._sessions = gateway, Sessions(gateway)
        self._turns: dict[str, tuple[int, float]] = {}  # by run id: how many, and when they were counted

    async def start(self, order: Order) -> StartResult:
        """See Runner."""
        try:
            row = (await self._sessions.find(order.session_key)).row
            if row is not None and words.has_begun(row):
                return StartResult(StartState.STARTED, "it had been started before")
            await self._choose_model(order)
            answer = await self._gateway.call("agent", _params(order))
        except GatewayDownError as error:
            return StartResult(StartState.GATEWAY_DOWN, str(error))
        except GatewayError as error:
            return StartResult(StartState.REFUSED if error.final else StartState.UNPROVEN, str(error))
        except OpenClawError as error:
            return StartResult(StartState.UNPROVEN, str(error))
        # `accepted`, `in_flight`, or how it ended: it has been started in any case.
        if answer.get("runId") != order.run_id:
            return StartResult(StartState.UNPROVEN, "the gateway answered for another run")
        return StartResult(StartState.STARTED)

    async def look(self, runs: Sequence[RunRef]) -> Sighting:
        """See Runner. One list for all of them; what has ended is read, and the turns of one that has not."""
        at = clock.wall()
        try:
            listing = await self._sessions.newest()
        except OpenClawError as error:
            doubt = {run.run_id: RunSeen(run.run_id, RunState.UNKNOWN, error=str(error)) for run in runs}
            return Sighting(up=False, error=str(error), at=at, runs=doubt)
        seen: dict[str, RunSeen] = {}

        async def see(run: RunRef) -> None:
            try:
                seen[run.run_id] = await self._see(run, listing)
            except OpenClawError as error:
                seen[run.run_id] = RunSeen(run.run_id, RunState.UNKNOWN, error=str(error))

        async with trio.open_nursery() as nursery:
            for run in runs:
                nursery.start_soon(see, run)
        return Sighting(
            up=True,
            at=at,
            runs=await self._with_turns(runs, seen),
            busy_agents=words.busy_agents(listing.rows.values(), listing.at),
        )

    async def stop(self, session_key: str) -> bool:
        """See Runner."""
        if not _ours(session_key):
            return False
        try:
            await self._sessions.abort(session_key)
            if _state(await self._sessions.find(session_key)) in _MAY_RUN:
                await self._sessions.put_away(session_key)
                return _state(await self._sessions.find(session_key)) not in _MAY_RUN
        except OpenClawError as error:
            _log.warning("run_not_stopped", session=session_key, error=str(error))
            return False
        return True

    async def archive(self, session_key: str, directory: Path) -> bool:
        """See Runner. One that may still run is left alone: to archive its session would end it."""
        if not _ours(session_key):
            return False
        try:
            found = await self._sessions.find(session_key)
            if found.row is None:
                return True
            if _state(found) in _MAY_RUN:
                return False
            try:
                messages = await self._sessions.all_messages(session_key)
            except GatewayError as error:  # it would be refused again: better a session put away than none
                _log.warning("transcript_refused", session=session_key, error=str(error))
                messages = []
            await trio.to_thread.run_sync(transcript.keep, directory, messages)
            await self._sessions.put_away(session_key)
        except (OpenClawError, OSError) as error:
            _log.warning("session_not_archived", session=session_key, error=str(error))
            return False
        return True

    async def _choose_model(self, order: Order) -> None:
        """By the task's priority. A model that cannot be chosen keeps no task from starting."""
        try:
            if (model := await self._sessions.model_for(order.priority, order.agent)) is not None:
                await self._sessions.choose_model(order.session_key, model)
        except OpenClawError as error:
            _log.warning("model_not_chosen", task=order.task_id, priority=order.priority, error=str(error))

    async def _see(self, run: RunRef, listing: Listing) -> RunSeen:
        found = Found(listing.rows.get(run.session_key), listing.at)
        if found.row is None and not listing.whole:
            found = await self._sessions.find(run.session_key)
        state = _state(found)
        if found.row is None or state not in ENDED:
            return RunSeen(run.run_id, state)
        told, lost = await self._told(run.session_key)
        answer, error = told.answer, told.error
        well = state is RunState.OK
        if not (answer if well else error):
            answer, error = await self._sessions.outcome(run)
        if lost is not None and not answer and not error:
            raise lost  # what it said may come to light the next time
        return RunSeen(
            run.run_id,
            state,
            answer=answer if well else "",
            error="" if well else error,
            turns=told.turns,
            tokens=words.tokens_of(found.row),
            session_id=str(found.row.get("sessionId") or ""),
        )

    async def _told(self, key: str) -> tuple[words.Told, AnswerLostError | None]:
        """What the transcript says; nothing where the gateway will not show it, or it was lost on the way."""
        try:
            return words.told(await self._sessions.newest_messages(key, WHOLE_TEXT)), None
        except GatewayError as error:
            _log.warning("transcript_refused", session=key, error=str(error))
            return words.told(()), None
        except AnswerLostError as error:
            return words.told(()), error

    async def _with_turns(self, runs: Sequence[RunRef], seen: dict[str, RunSeen]) -> dict[str, RunSeen]:
        """The turns of runs under way; per look, those of one run are counted anew."""
        running = {run.run_id: run for run in runs if seen[run.run_id].state is RunState.RUNNING}
        self._turns = {run_id: count for run_id, count in self._turns.items() if run_id in running}
        now = clock.monotonic()
        counted_at = {run_id: self._turns.get(run_id, (0, -math.inf))[1] for run_id in running}
        longest_ago = min(counted_at, key=counted_at.__getitem__, default=None)
        if longest_ago is not None and now - counted_at[longest_ago] >= COUNT_AGAIN_SECONDS:
            try:
                key = running[longest_ago].session_key
                told = words.told(await self._sessions.newest_messages(key, NO_TEXT))
                self._turns[longest_ago] = told.turns, now
            except OpenClawError as error:
                _log.debug("turns_not_counted", run=longest_ago, error=str(error))
        counted = {
            run_id: RunSeen(run_id, RunState.RUNNING, turns=turns)
            for run_id, (turns, _) in self._turns.items()
        }
        return seen | counted


def _state(found: Found) -> RunState:
    return RunState.ABSENT if found.row is None else words.standing(found.row, found.at)


def _params(order: Order) -> dict[str, object]:
    """Of `agent`; the prompt as long as it can be handed over."""
    params: dict[str, object] = {
        "message": order.prompt,
        "agentId": order.agent,
        "sessionKey": order.session_key,
        "idempotencyKey": order.run_id,
        "deliver": False,
    }
    excess = len(encoded(params).encode()) - MAX_PARAMS_BYTES
    return {**params, "message": words.shortened(order.prompt, excess)}


def _ours(session_key: str) -> bool:
    if words.is_ours(session_key):
        return True
    _log.error("session_not_ours", session=session_key)
    return False
