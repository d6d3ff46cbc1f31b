"""One source as everybody in the daemon has it: asked seldom, never for long, and watched.

The rules:

- A listing is fetched once for all who want it at the same time, and kept for a minute. A write makes it old,
  also one that is still being fetched.
- No call takes longer than its time limit. One that is cut off may have done what it was for, and may be
  repeated: what is so already is no error.
- A source that refuses has answered. One that is unavailable is logged when it begins and when it is over.
- One that is switched off is asked again after an hour. Until then nothing waits there, and nothing can be
  learnt or said there: what was taken up from it stays as it is.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Final, TypeVar

import structlog
import trio

from scheduler.core.exchange.items import Item, Stage
from scheduler.core.task import Source
from scheduler.roster import Agent
from scheduler.sources import reading
from scheduler.sources.protocol import (
    SourceOffError,
    SourceRefusedError,
    SourceUnavailableError,
    TaskSource,
)

KEEP_SECONDS: Final = 60.0
TIME_LIMIT_SECONDS: Final = 30.0
OFF_SECONDS: Final = 3600.0

T = TypeVar("T")
Fetch = Callable[[], Awaitable[Sequence[Item]]]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """How a source answers: what `/health` and the metrics say of it."""

    name: Source
    up: bool | None
    """None: it is switched off, nobody wants anything of it, or it was not asked yet"""
    reason: str
    """why it is not up, or that it is switched off; else ''"""
    failures_in_a_row: int


class Shared:
    """A `TaskSource` around another one. Owner of what was listed, and of how the source answered."""

    def __init__(
        self,
        source: TaskSource,
        *,
        whole: Fetch | None = None,
        serves: Callable[[Agent], bool] = lambda _agent: True,
        team: Callable[[], Iterable[Agent]] | None = None,
        keep_seconds: float = KEEP_SECONDS,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
    ) -> None:
        """`whole` lists everything in the source at once, for all agents. `serves`: whether an agent may have
        something there. `team`: who there is now; None: nobody knows, and the source is asked all the same.
        """
        self.name, self.after_recovery = source.name, source.after_recovery
        self._source, self._whole = source, whole
        self._serves, self._team = serves, team
        self._keep_seconds, self._limit = keep_seconds, time_limit_seconds
        self._listings: dict[str, _Listing] = {}
        self._up: bool | None = None
        self._reason, self._failures = "", 0
        self._off_until = -inf

    @property
    def wanted(self) -> bool:
        """Whether anybody on the team may have something there. If not, it is asked for no list."""
        return self._team is None or any(map(self._serves, self._team()))

    async def list_todo(self, agent: Agent) -> Sequence[Item]:
        if not self._serves(agent) or self._off:
            return ()
        if self._whole is not None:
            return reading.waiting_for(agent, await self._listed("everything", self._whole))
        return await self._listed(f"todo of {agent.id}", partial(self._source.list_todo, agent))

    async def list_in_progress(self) -> Sequence[Item]:
        if not self.wanted or self._off:
            return ()
        if self._whole is not None:
            return reading.under_way(await self._listed("everything", self._whole))
        return await self._listed("in progress", self._source.list_in_progress)

    async def look(self, external_id: str) -> Item:
        """As it stands now: not from a listing."""
        return await self._asked(partial(self._source.look, external_id))

    async def look_all(self, external_ids: Sequence[str]) -> Sequence[Item]:
        """Likewise."""
        return await self._asked(partial(self._source.look_all, external_ids)) if external_ids else ()

    async def claim(self, external_id: str, agent: Agent) -> str:
        return await self._written(partial(self._source.claim, external_id, agent))

    async def keep(self, external_id: str, agent: Agent, handle: str) -> None:
        # No news for anybody who lists: what was listed stays.
        await self._asked(partial(self._source.keep, external_id, agent, handle))

    async def comment(self, external_id: str, text: str) -> None:
        await self._written(partial(self._source.comment, external_id, text))

    async def release(self, external_id: str, agent: Agent, handle: str, *, stage: Stage, why: str) -> None:
        await self._written(partial(self._source.release, external_id, agent, handle, stage=stage, why=why))

    async def finish(self, external_id: str, agent: Agent, handle: str, *, summary: str) -> None:
        await self._written(partial(self._source.finish, external_id, agent, handle, summary=summary))

    def statistics(self) -> SourceStatistics:
        """A snapshot. What nobody wants any more is neither up nor down, however it was left."""
        if not self.wanted:
            return SourceStatistics(self.name, None, "", 0)
        return SourceStatistics(self.name, self._up, self._reason, self._failures)

    @property
    def _off(self) -> bool:
        return trio.current_time() < self._off_until

    async def _listed(self, key: str, fetch: Fetch) -> Sequence[Item]:
        listing = self._listings.setdefault(key, _Listing(self._keep_seconds))
        try:
            return await listing.get(partial(self._asked, fetch))
        except SourceOffError:
            return ()

    async def _written(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._asked(call)
        finally:
            for listing in self._listings.values():
                listing.drop()

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._off:
            raise SourceOffError(self._reason)
        try:
            with trio.fail_after(self._limit):
                answer = await call()
        except trio.TooSlowError as error:
            reason = f"it did not answer within {self._limit:g} s"
            self._failed(reason)
            raise SourceUnavailableError(reason) from error
        except SourceOffError as error:
            self._switched_off(str(error))
            raise
        except SourceUnavailableError as error:
            self._failed(str(error))
            raise
        except SourceRefusedError:
            self._answered()
            raise
        self._answered()
        return answer

    def _switched_off(self, reason: str) -> None:
        if self._off_until == -inf:
            _log.info("source_off", source=self.name, reason=reason)
        self._off_until = trio.current_time() + OFF_SECONDS
        self._up, self._reason, self._failures = None, reason, 0

    def _failed(self, reason: str) -> None:
        if self._up is not False:
            _log.warning("source_unavailable", source=self.name, reason=reason)
        self._up, self._reason, self._off_until = False, reason, -inf
        self._failures += 1

    def _answered(self) -> None:
        if self._up is False:
            _log.info("source_back", source=self.name, failures=self._failures)
        self._up, self._reason, self._failures, self._off_until = True, "", 0, -inf

    def __repr__(self) -> str:
        unasked = f"off: {self._reason}" if self._reason else "not asked yet"
        state = {None: unasked, True: "there", False: f"away: {self._reason}"}[self._up]
        return f"<Shared {self.name}, {state}>"


class _Listing:
    """One listing. Its owner is `Shared`; whoever comes first fetches it, the others wait for that."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._turn = trio.Lock()
        self._items: Sequence[Item] = ()
        self._fresh_until = -inf
        self._drops = 0
        self._failures = 0
        self._failure = SourceUnavailableError()

    def drop(self) -> None:
        self._fresh_until = -inf
        self._drops += 1

    async def get(self, fetch: Fetch) -> Sequence[Item]:
        failures = self._failures
        async with self._turn:
            if trio.current_time() < self._fresh_until:
                return self._items
            if self._failures > failures:
                # Of the fetch that we waited for: else each who waits would wait for a failure of its own.
                raise type(self._failure)(str(self._failure))
            drops = self._drops
            try:
                items = await fetch()
            except SourceUnavailableError as error:
                self._failures, self._failure = self._failures + 1, error
                raise
            self._items = items
            if self._drops == drops:
                self._fresh_until = trio.current_time() + self._keep_seconds
            return items
