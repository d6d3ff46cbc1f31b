"""Sessions in OpenClaw's gateway: found, read, given a model, ended, put away.

What the methods of 2026.9.6 do, and what they do not, where it matters here:

-   ``sessions.list`` shows the newest first, archived ones only when asked; `search` finds any part of a key.
-   ``agent.wait`` knows ended runs for five minutes and not over a restart, and cuts answers at 4,096
    characters. ``chat.history`` knows them for good, whole and turn by turn: so that is what is read.
-   ``sessions.abort`` ends a run under way. Of one that was interrupted by a restart, and will be taken up
    again, it says that there is nothing to abort. ``sessions archive`` ends both, and nothing can be started
    in a session that is archived.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from scheduler.core import runs as words
from scheduler.core.sighting import RunRef
from scheduler.gateway import Answer, AnswerLostError, Gateway, GatewayError
from shared import clock

PAGE_SESSIONS: Final = 200
"""In about 500 kB."""
PAGE_MESSAGES: Final = 1000
"""As many as the gateway gives at once."""
MOST_PAGES: Final = 50
WHOLE_TEXT: Final = 500_000
"""Characters of one message, the gateway's own limit; unless asked for more, it cuts at 8,000."""
NO_TEXT: Final = 1
_OVER: Final = "This run is over."
MODELS_SECONDS: Final = 600.0
"""For so long the models of agents and providers are believed to stay as they are."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The newest sessions, all there are if `whole`."""

    rows: Mapping[str, words.Row]
    """by key"""
    at: float
    """by the gateway's clock, in Unix seconds"""
    whole: bool


@dataclass(frozen=True, slots=True)
class Found:
    """How one session stood when it was looked for."""

    row: words.Row | None
    at: float


class Sessions:
    """Every method raises OpenClawError. Owner of one memory: the models of agents and providers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._own: tuple[float, Mapping[str, str]] = (-math.inf, {})
        self._offered: dict[str, tuple[float, frozenset[str]]] = {}  # by agent

    async def newest(self) -> Listing:
        """Archived ones, too: a person may have archived one of ours."""
        return await self._list({"archived": "all", "limit": PAGE_SESSIONS})

    async def find(self, key: str) -> Found:
        """The session with just that key."""
        listing = await self._list({"archived": "all", "limit": PAGE_SESSIONS, "search": key})
        row = listing.rows.get(key)
        if row is None and not listing.whole:
            raise AnswerLostError("too many sessions have names like this one's")
        return Found(row, listing.at)

    async def newest_messages(self, key: str, max_chars: int) -> list[Answer]:
        """The last thousand, oldest first; each text cut at `max_chars`."""
        return (await self._messages(key, max_chars, 0))[0]

    async def all_messages(self, key: str) -> list[Answer]:
        """The transcript, oldest first."""
        messages, offset = await self._messages(key, WHOLE_TEXT, 0)
        for _ in range(MOST_PAGES):
            if offset is None:
                break
            older, offset = await self._messages(key, WHOLE_TEXT, offset)
            messages = older + messages
        return messages

    async def outcome(self, run: RunRef) -> tuple[str, str]:
        """The answer and the error of a run that has ended; both '' where the gateway has forgotten it.

        A run that failed without a word is asked for once more, but only where the gateway has just shown
        that it still knows the run, and so its key: nothing is started by that.
        """
        try:
            waited = await self._gateway.call("agent.wait", {"runId": run.run_id, "timeoutMs": 1})
            answer, error = words.outcome(waited)
            if not error and words.failed_lately(waited, clock.wall()):
                again = {"agentId": run.agent, "sessionKey": run.session_key, "idempotencyKey": run.run_id}
                await self._gateway.call("agent", {"message": _OVER, "deliver": False, **again})
        except GatewayError as refused:
            return "", str(refused)
        return answer, error

    async def model_for(self, priority: str, agent: str) -> str | None:
        """What `choose_model` is to be given, if the priority has a model of its own that can be used."""
        if priority not in words.PROVIDERS:
            return None
        old = clock.monotonic() - MODELS_SECONDS
        if self._own[0] <= old:
            own = words.agent_models(await self._gateway.call("agents.list", {}))
            self._own = clock.monotonic(), own
        if agent not in self._offered or self._offered[agent][0] <= old:
            # Without the agent's name a gateway with several of them refuses.
            offered = words.offered_models(await self._gateway.call("models.list", {"agentId": agent}))
            self._offered[agent] = clock.monotonic(), offered
        model = words.model_for(priority, self._own[1].get(agent, ""))
        return model if model in self._offered[agent][1] else None

    async def choose_model(self, key: str, model: str) -> None:
        """For a session that need not exist yet: this makes it."""
        await self._gateway.call("sessions.patch", {"key": key, "model": model})

    async def abort(self, key: str) -> None:
        """Also where there is nothing to abort."""
        await self._gateway.call("sessions.abort", {"key": key})

    async def put_away(self, key: str) -> None:
        """Also where it is away already. Ends its run, be it under way or in line to be taken up again."""
        await self._gateway.ask("sessions", "archive", key)

    async def _list(self, params: Mapping[str, object]) -> Listing:
        answer = await self._gateway.call("sessions.list", params)
        rows = answer.get("sessions")
        # From a list that is none, nothing may be concluded, least of all that a run is absent.
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "key" in row for row in rows):
            raise AnswerLostError("a list of sessions without sessions")
        by_key: dict[str, dict[str, Any]] = {row["key"]: row for row in rows}
        # One that does not say whether there is more is whole if the page was not filled.
        whole = answer.get("hasMore") is False or ("hasMore" not in answer and len(rows) < PAGE_SESSIONS)
        return Listing(by_key, words.listed_at(answer) or clock.wall(), whole)

    async def _messages(self, key: str, max_chars: int, offset: int) -> tuple[list[Answer], int | None]:
        """One page, oldest first; where the page before it is, if there is one."""
        page = await self._gateway.call(
            "chat.history",
            {"sessionKey": key, "limit": PAGE_MESSAGES, "maxChars": max_chars, "offset": offset},
        )
        messages, following = page.get("messages"), page.get("nextOffset")
        if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
            raise AnswerLostError("a transcript without messages")
        more = page.get("hasMore") is True and isinstance(following, int) and following > offset
        return messages, following if more else None
