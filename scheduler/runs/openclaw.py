"""Runs in OpenClaw's gateway.

The session is asked, before anything else is done, and believed; an idempotency key is the second lock, not
the first. What OpenClaw's words mean is in ``core.runs``, with the table; how it was measured, in the tests that run
the same claims against a real gateway and against its stand-in.

-   ``agent`` answers within seconds, once the run is on its way. Repeated under its key it starts nothing
    again, for five minutes and until the gateway is restarted. Hence the look before each start.
-   ``agent.wait`` knows ended runs for those five minutes, too, and cuts answers at 4,096 characters;
    ``chat.history`` knows them for good, whole, and with the number of turns.
-   ``sessions.abort`` ends a run under way. To one that was interrupted by a restart, and will be taken up again,
    it says that there is nothing to abort. ``sessions archive`` ends both: what is archived starts no run.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from scheduler.core import runs as words
from scheduler.core.sighting import ENDED, RunRef, RunSeen, RunState, Sighting
from scheduler.gateway import (
    MAX_PARAMS_BYTES,
    Answer,
    AnswerLostError,
    Gateway,
    GatewayDownError,
    GatewayError,
    OpenClawError,
    encoded,
)
from scheduler.runs.orders import Order, StartResult, StartState
from shared import clock

PAGE_SESSIONS: Final = 200
"""Of the newest: in about 500 kB. A session that is not among them is looked for by its name."""
FOUND_SESSIONS: Final = 100
"""One name may be the beginning of others."""
PAGE_MESSAGES: Final = 1000
"""As many as the gateway gives at once."""
MOST_PAGES: Final = 50
WHOLE_TEXT: Final = 500_000
"""Characters of one message, the gateway's own limit; without asking for it, it cuts at 8,000."""
NO_TEXT: Final = 1
MODELS_SECONDS: Final = 600.0
"""For so long the models of agents and providers are believed to stay as they are."""
TRANSCRIPT: Final = "transcript.jsonl"
_PRIVATE: Final = 0o600

_log = structlog.get_logger()


class OpenClawRunner:
    """A `Runner`. Owner of two memories that may be lost: turns of running runs, and models of agents."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._turns: dict[str, int] = {}  # by run id; the one read longest ago is first
        self._models: tuple[float, Mapping[str, str], frozenset[str]] | None = None

    # -- starting -------------------------------------------------------------------------------------

    async def start(self, order: Order) -> StartResult:
        """See Runner."""
        try:
            row, _ = await self._find(order.session_key)
            if row is not None and words.has_begun(row):
                return StartResult(StartState.STARTED, "it was under way already")
            await self._choose_model(order)
            answer = await self._gateway.call("agent", _agent_params(order))
        except GatewayDownError as error:
            return StartResult(StartState.GATEWAY_DOWN, str(error))
        except GatewayError as error:
            return StartResult(StartState.REFUSED if error.final else StartState.UNPROVEN, str(error))
        except AnswerLostError as error:
            return StartResult(StartState.UNPROVEN, str(error))
        if answer.get("runId") != order.run_id:
            return StartResult(StartState.UNPROVEN, "the gateway answered with another run")
        return StartResult(StartState.STARTED, str(answer.get("status", "")))

    async def _choose_model(self, order: Order) -> None:
        """The agent's own model by the provider of the task's priority. A task is not kept waiting for it."""
        if order.priority not in words.PROVIDERS:
            return
        try:
            agents, offered = await self._known_models()
            model = words.model_for(order.priority, agents.get(order.agent, ""))
            if model is None:
                return
            if model not in offered:
                _log.info("model_not_configured", model=model, priority=order.priority, task=order.task_id)
                return
            await self._gateway.call("sessions.patch", {"key": order.session_key, "model": model})
        except OpenClawError as error:
            self._models = None
            _log.warning("model_not_chosen", task=order.task_id, priority=order.priority, error=str(error))

    async def _known_models(self) -> tuple[Mapping[str, str], frozenset[str]]:
        now = clock.monotonic()
        if self._models is None or now - self._models[0] >= MODELS_SECONDS:
            agents = words.agent_models(await self._gateway.call("agents.list", {}))
            offered = words.offered_models(await self._gateway.call("models.list", {}))
            self._models = now, agents, offered
        return self._models[1], self._models[2]

    # -- looking --------------------------------------------------------------------------------------

    async def look(self, runs: Sequence[RunRef]) -> Sighting:
        """See Runner. One list for all of them; what has ended is then read, and the turns of one that runs."""
        at = clock.wall()
        try:
            listing = await self._gateway.call("sessions.list", {"archived": "all", "limit": PAGE_SESSIONS})
            rows = _rows(listing)
        except OpenClawError as error:
            unknown = {run.run_id: RunSeen(run.run_id, RunState.UNKNOWN, error=str(error)) for run in runs}
            return Sighting(up=False, error=str(error), at=at, runs=unknown)
        by_key = {row["key"]: row for row in rows}
        listed_at, whole = words.listed_at(listing), listing.get("hasMore") is False
        seen: dict[str, RunSeen] = {}
        self._turns = {run.run_id: self._turns.get(run.run_id, 0) for run in self._in_line(runs)}
        recount = next(iter(self._turns), None)

        async def see(run: RunRef) -> None:
            try:
                row, row_at = by_key.get(run.session_key), listed_at
                if row is None and not whole:
                    row, row_at = await self._find(run.session_key)
                seen[run.run_id] = await self._see(run, row, row_at, recount=run.run_id == recount)
            except OpenClawError as error:
                seen[run.run_id] = RunSeen(run.run_id, RunState.UNKNOWN, error=str(error))

        async with trio.open_nursery() as nursery:
            for run in runs:
                nursery.start_soon(see, run)
        return Sighting(up=True, at=at, runs=seen, busy_agents=words.busy_agents(rows, listed_at))

    async def _see(self, run: RunRef, row: words.Row | None, row_at: float, *, recount: bool) -> RunSeen:
        state = RunState.ABSENT if row is None else words.standing(row, row_at)
        if row is None or state in {RunState.ABSENT, RunState.UNKNOWN}:
            return RunSeen(run.run_id, state)
        session_id = str(row.get("sessionId") or "")
        if state is RunState.RUNNING:
            if recount:
                await self._count_turns(run)
            turns = self._turns.get(run.run_id) or None
            return RunSeen(run.run_id, state, turns=turns, session_id=session_id)
        assert state in ENDED
        told = words.told(await self._newest_messages(run.session_key, WHOLE_TEXT))
        return RunSeen(
            run.run_id,
            state,
            answer=told.answer if state is RunState.OK else "",
            error="" if state is RunState.OK else told.error,
            turns=told.turns,
            tokens=words.tokens_of(row),
            session_id=session_id,
        )

    def _in_line(self, runs: Sequence[RunRef]) -> list[RunRef]:
        """New ones first, then those whose turns were counted longest ago."""
        places = {run_id: place for place, run_id in enumerate(self._turns)}
        return sorted(runs, key=lambda run: places.get(run.run_id, -1))

    async def _count_turns(self, run: RunRef) -> None:
        """Of one run per look: it costs a second of a core, and progress is a matter of minutes."""
        turns = words.told(await self._newest_messages(run.session_key, NO_TEXT)).turns
        self._turns.pop(run.run_id, None)
        self._turns[run.run_id] = turns  # at the end of the line

    # -- stopping, putting away -----------------------------------------------------------------------

    async def stop(self, session_key: str) -> bool:
        """See Runner."""
        if not _ours(session_key):
            return False
        try:
            await self._gateway.call("sessions.abort", {"key": session_key})
            if await self._may_run(session_key):
                await self._put_away(session_key)
                return not await self._may_run(session_key)
        except OpenClawError as error:
            _log.warning("run_not_stopped", session=session_key, error=str(error))
            return False
        return True

    async def archive(self, session_key: str, directory: Path) -> bool:
        """See Runner. A session that may still run is left alone: to archive it would end its run."""
        if not _ours(session_key):
            return False
        try:
            row, row_at = await self._find(session_key)
            if row is None:
                return True
            if words.standing(row, row_at) in {RunState.RUNNING, RunState.UNKNOWN}:
                return False
            messages = await self._all_messages(session_key)
            await trio.to_thread.run_sync(_write, directory, messages)
            await self._put_away(session_key)
        except (OpenClawError, OSError) as error:
            _log.warning("session_not_archived", session=session_key, error=str(error))
            return False
        return True

    async def _may_run(self, session_key: str) -> bool:
        row, row_at = await self._find(session_key)
        return row is not None and words.standing(row, row_at) in {RunState.RUNNING, RunState.UNKNOWN}

    async def _put_away(self, session_key: str) -> None:
        """Raises OpenClawError. One that is not there, or is away already, is fine."""
        try:
            await self._gateway.ask("sessions", "archive", session_key)
        except GatewayError as error:
            results = error.answer.get("results")
            if not isinstance(results, list) or [each.get("status") for each in results] != ["not_found"]:
                raise

    # -- reading --------------------------------------------------------------------------------------

    async def _find(self, session_key: str) -> tuple[words.Row | None, float]:
        """The session of that name, archived or not, and when it was so. Raises OpenClawError."""
        params = {"search": session_key, "archived": "all", "limit": FOUND_SESSIONS}
        listing = await self._gateway.call("sessions.list", params)
        row = next((row for row in _rows(listing) if row["key"] == session_key), None)
        if row is None and listing.get("hasMore") is not False:
            raise AnswerLostError("too many sessions have similar names")
        return row, words.listed_at(listing)

    async def _newest_messages(self, session_key: str, max_chars: int) -> list[Answer]:
        return (await self._messages(session_key, max_chars, 0))[0]

    async def _all_messages(self, session_key: str) -> list[Answer]:
        messages: list[Answer] = []
        offset: int | None = 0
        for _ in range(MOST_PAGES):
            older, offset = await self._messages(session_key, WHOLE_TEXT, offset)
            messages = older + messages
            if offset is None:
                break
        return messages

    async def _messages(
        self, session_key: str, max_chars: int, offset: int
    ) -> tuple[list[Answer], int | None]:
        """One page, oldest first, and where the page before it begins. Raises OpenClawError."""
        params = {"sessionKey": session_key, "limit": PAGE_MESSAGES, "maxChars": max_chars, "offset": offset}
        page = await self._gateway.call("chat.history", params)
        messages, following = page.get("messages"), page.get("nextOffset")
        if not isinstance(messages, list):
            raise AnswerLostError("a transcript without messages")
        more = page.get("hasMore") is True and isinstance(following, int) and following > offset
        return [each for each in messages if isinstance(each, dict)], following if more else None


def _agent_params(order: Order) -> dict[str, object]:
    def params(prompt: str) -> dict[str, object]:
        return {
            "message": prompt,
            "agentId": order.agent,
            "sessionKey": order.session_key,
            "idempotencyKey": order.run_id,
            "deliver": False,
        }

    excess = len(encoded(params(order.prompt)).encode()) - MAX_PARAMS_BYTES
    return params(words.shortened(order.prompt, excess))


def _rows(listing: Answer) -> list[dict[str, Any]]:
    """The sessions of a list. Raises AnswerLostError where it is none: then nothing may be concluded."""
    rows = listing.get("sessions")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "key" in row for row in rows):
        raise AnswerLostError("a list of sessions without sessions")
    return rows


def _ours(session_key: str) -> bool:
    if words.is_ours(session_key):
        return True
    _log.error("session_not_ours", session=session_key)
    return False


def _write(directory: Path, messages: Sequence[Answer]) -> None:
    """Whole or not at all. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = directory / f"{TRANSCRIPT}.new"
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _PRIVATE)
    with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
        for message in messages:
            file.write(json.dumps(message, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(fd)
    draft.rename(directory / TRANSCRIPT)
