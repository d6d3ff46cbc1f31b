"""An answer for one request, out of as many attempts as it takes.

    ask for a slot  ->  send it  ->  was that an answer?
          ^                               |
          +------ a pause, then again <---+

Each attempt spends a slot and asks for it anew, at the tail of its agent. A model that cannot be had is
passed over for its substitutes, where the settings name any.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from proxy.agents import AgentRow
from proxy.attempt import Result, Stored, attempt
from proxy.call import Call
from proxy.core.classify import Meaning, backoff_seconds, is_refusal, worth_another
from proxy.core.decisions import KnownUnavailable
from proxy.exchange import Exchange
from proxy.gate import Ask, Gate, Grant, TurnedAway
from proxy.keys import Keys
from proxy.metrics import Metrics
from proxy.refusals import Refusal, no_answer, turned_away
from proxy.settings import Settings
from proxy.upstream import Answer, Failure, Outgoing, Upstream


@dataclass(frozen=True, slots=True)
class Served:
    """An answer that begins, and the grant under which it was obtained: both end together."""

    answer: Answer
    grant: Grant


class Obtaining:
    """Holds nothing of any request; its owners are those it asks."""

    def __init__(
        self,
        settings: Settings,
        *,
        gate: Gate,
        upstream: Upstream,
        metrics: Metrics,
        keys: Keys,
        lot: Callable[[], float],
    ) -> None:
        """`lot` draws from [0, 1), for the jitter of pauses."""
        self._settings = settings
        self._gate = gate
        self._upstream = upstream
        self._metrics = metrics
        self._keys = keys
        self._lot = lot

    async def obtain(
        self, call: Call, exchange: Exchange, row: AgentRow, *, is_answered: Callable[[], bool]
    ) -> Served | Stored | Refusal:
        """Slots and attempts, until one is answered for good or no further one is worth it.

        `is_answered`: has the client got the head of a stream already, while it waited?
        """
        last: Stored | Refusal | None = None
        spent: Grant | None = None
        meaning = Meaning.ANSWERED
        failures, untried = 0, list(self._settings.fallbacks.get(call.ask.model, ()))
        while True:
            grant = await self._admit(call.ask, exchange, row, again=last is not None)
            if isinstance(grant, KnownUnavailable):
                assert isinstance(grant.answer, Stored)
                self._metrics.saved("known_unavailable")
                last, meaning = grant.answer, Meaning.UNAVAILABLE
            elif not isinstance(grant, Grant):
                break
            else:
                spent = grant
                outgoing = call.plain() if is_answered() else call.outgoing
                result = await self._attempt(outgoing, grant, exchange, row)
                if isinstance(result.answer, Answer):
                    return Served(result.answer, grant)
                last = no_answer(result.answer) if isinstance(result.answer, Failure) else result.answer
                meaning = result.meaning
            if meaning is Meaning.UNAVAILABLE and untried:
                exchange.substitute = untried.pop(0)
                call = call.for_model(exchange.substitute)
                continue
            pause = backoff_seconds(meaning, failures, self._lot())
            in_time = trio.current_time() + pause <= call.ask.deadline_at
            if not (in_time and worth_another(meaning, failures, self._settings.max_retries)):
                break
            failures += 1
            self._metrics.retry(meaning)
            with self._waiting(exchange, row):
                await trio.sleep(pause)
        if spent is not None:
            self._gate.gave_up(spent, meaning)
        if last is not None:
            return last
        assert not isinstance(grant, Grant | KnownUnavailable)
        return turned_away(grant)

    async def _admit(self, ask: Ask, exchange: Exchange, row: AgentRow, *, again: bool) -> Grant | TurnedAway:
        """Wait for a slot."""
        with self._waiting(exchange, row):
            grant = await self._gate.admit(ask, again=again)
        self._metrics.decided(grant, ask.band)
        return grant

    async def _attempt(self, outgoing: Outgoing, grant: Grant, exchange: Exchange, row: AgentRow) -> Result:
        """Use the slot, and learn from what comes."""
        exchange.attempts += 1
        exchange.sent_at = trio.current_time()
        row.in_flight += 1
        try:
            result = await attempt(self._upstream, outgoing, grant.written)
        except BaseException:
            self._gate.attempt_lost(grant)
            grant.ended()
            raise
        finally:
            row.in_flight -= 1
            exchange.upstream_seconds = trio.current_time() - exchange.sent_at
            grant.unsent()  # unless something was written
        self._gate.learn(
            grant, result.meaning, result.retry_after, answer=result.for_others, succeeded=result.succeeded
        )
        if not result.succeeded:
            grant.ended()
        if self._keys.own_authorization is not None:
            self._gate.note_key(result.meaning, succeeded=result.succeeded)
        if is_refusal(result.meaning):
            row.throttled += 1
        self._metrics.attempted(exchange, result)
        return result

    @contextmanager
    def _waiting(self, exchange: Exchange, row: AgentRow) -> Generator[None]:
        """Who waits is seen waiting, and for how long."""
        since = row.waiting_since[exchange.id] = exchange.waits_since = trio.current_time()
        try:
            yield
        finally:
            del row.waiting_since[exchange.id]
            exchange.waits_since = None
            exchange.queue_seconds += trio.current_time() - since
