"""ONE REQUEST, top to bottom.

    read it  ->  ask for a slot  ->  send it  ->  was that an answer?  ->  pass it on
                      ^                                   |
                      +------ a pause, then again <-------+

Everything before the first byte reaches the client can be repeated, and is, as long as the client's deadline
allows; nothing after it is. One watcher stands beside all of it: when the client hangs up, whatever the
request holds (a place in the queue, a slot, a connection to the upstream) is given back at once.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from secrets import token_hex

import trio

from proxy.agents import AgentRow, Agents
from proxy.attempt import Result, Stored, attempt
from proxy.call import Call, Reader
from proxy.core.classify import Meaning, backoff_seconds, worth_another
from proxy.exchange import Exchange
from proxy.gate import Ask, Gate, Grant, TurnedAway
from proxy.headers import first
from proxy.incoming import HungUpError, hearing_hang_ups
from proxy.keys import Keys
from proxy.metrics import Metrics
from proxy.models import ModelsCache, asks_for_models
from proxy.refusals import DRAINING, Refusal, broken_off, no_answer, retry_headers, turned_away
from proxy.relay import Relay
from proxy.settings import Settings
from proxy.upstream import Answer, BrokenOffError, Failure, Upstream
from proxy.usage import UsageReader
from shared import clock
from shared.asgi import Headers, Receive, Scope, Send
from shared.lifecycle import Lifecycle
from shared.screening import Refusal as ScreeningRefusal


class Handler:
    """The ASGI endpoint of everything that is proxied. Owner of the exchanges under way."""

    def __init__(
        self,
        settings: Settings,
        *,
        gate: Gate,
        upstream: Upstream,
        agents: Agents,
        metrics: Metrics,
        models: ModelsCache,
        keys: Keys,
        lifecycle: Lifecycle,
        lot: Callable[[], float],
    ) -> None:
        """`lot` draws from [0, 1), for the jitter of pauses."""
        self._settings = settings
        self._gate = gate
        self._upstream = upstream
        self._agents = agents
        self._metrics = metrics
        self._models = models
        self._lifecycle = lifecycle
        self._lot = lot
        self._keys = keys
        self._reader = Reader(settings, keys, upstream.host)
        self._live: set[Exchange] = set()
        self._idle = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whatever happens to it, and account for it."""
        exchange = _exchange(scope)
        relay = Relay(send)
        self._live.add(exchange)
        try:
            with exchange.scope:
                await self._serve(exchange, relay, scope, receive)
            if exchange.cut_off:
                await self._end_early(exchange, relay)
        except HungUpError:
            exchange.hung_up = True
        finally:
            self._live.discard(exchange)
            if not self._live:
                self._idle.set()
            # Also where the server has cancelled us from outside: a client that had stopped reading.
            exchange.broken_off |= relay.started and not relay.ended
            self._account_for(exchange, relay.status, relay.bytes)

    async def _serve(self, exchange: Exchange, relay: Relay, scope: Scope, receive: Receive) -> None:
        """Read it, understand it, then answer it with an eye on its client. Raises HungUpError."""
        client = DRAINING if self._lifecycle.draining else self._keys.client(scope["headers"])
        if isinstance(client, Refusal):
            await relay.refuse(client, [_id_header(exchange)], unread=receive)
            return
        content = await self._reader.read(scope, receive)
        if isinstance(content, Refusal):
            await relay.refuse(content, [_id_header(exchange)], unread=receive)
            return
        if asks_for_models(scope["method"], scope["raw_path"]):
            await self._list_models(exchange, relay, scope)
            return
        call = self._reader.understand(exchange, scope, content, client)
        if isinstance(call, Refusal):
            await relay.refuse(call, [_id_header(exchange)])
            return
        row = self._agents.row(call.ask.agent, call.ask.session)
        row.requests += 1

        def on_hang_up() -> None:
            # Told in the same way: the end of an answer, and the connections that the end of a drain closes.
            if not (relay.ended or exchange.cut_off):
                exchange.hung_up = True
                exchange.scope.cancel()

        async with hearing_hang_ups(scope, receive, on_hang_up):
            await trio.lowlevel.checkpoint_if_cancelled()  # it may have gone while its body was read
            await self._answer(call, exchange, relay, row)

    async def _list_models(self, exchange: Exchange, relay: Relay, scope: Scope) -> None:
        """The list of models, or one of them, which costs no slot."""
        exchange.from_cache = True
        added = [_id_header(exchange)]
        found = await self._models.answer(scope["raw_path"], self._keys.authorization(scope["headers"]))
        if isinstance(found, Refusal):
            await relay.refuse(found, added)
        else:
            exchange.upstream_answered = True
            await relay.pass_stored(self._keys.without_ours(found), added)

    async def _end_early(self, exchange: Exchange, relay: Relay) -> None:
        """The process ends: say so, as far as it can still be said."""
        if not relay.started:
            await relay.refuse(DRAINING, [_id_header(exchange)])
        elif not relay.ended:
            exchange.broken_off = True
            await relay.break_off(DRAINING)

    def refused(self, scope: Scope, refusal: ScreeningRefusal) -> None:
        """Account for a request that the guard has turned away."""
        if scope["raw_path"].startswith(b"/v1/"):
            self._account_for(_exchange(scope), refusal.status, 0)

    def _account_for(self, exchange: Exchange, status: int | None, sent_bytes: int) -> None:
        state = self._gate.retreat.state
        self._metrics.completed(exchange, status=status, sent_bytes=sent_bytes, state=state)

    async def idle(self) -> None:
        """Returns when nothing is under way."""
        while self._live:
            self._idle = trio.Event()
            await self._idle.wait()

    def cut_off(self) -> None:
        """End what is still under way: the drain is over."""
        for exchange in self._live:
            exchange.cut_off = True
            exchange.scope.cancel()

    async def _answer(self, call: Call, exchange: Exchange, relay: Relay, row: AgentRow) -> None:
        """Obtain an answer and pass it on."""
        answer = await self._obtain(call, exchange, row)
        added = [
            _id_header(exchange),
            (b"x-sidecar-queue-ms", b"%d" % (exchange.queue_seconds * 1000)),
            (b"x-sidecar-attempts", b"%d" % exchange.attempts),
        ]
        if isinstance(answer, Refusal):
            await relay.refuse(answer, added)
            return
        exchange.upstream_answered = True
        row.last_answer_at = clock.wall()
        if isinstance(answer, Stored):
            await relay.pass_stored(self._with_our_time(self._keys.without_ours(answer), call.ask), added)
        else:
            await self._pass_on(answer, added, exchange, relay, row)

    async def _pass_on(
        self, answer: Answer, added: Headers, exchange: Exchange, relay: Relay, row: AgentRow
    ) -> None:
        usage = UsageReader(first(answer.headers, b"content-encoding"))
        row.in_flight += 1
        try:
            await relay.pass_on(answer, added, usage)
        except BrokenOffError as error:
            exchange.broken_off = True
            self._metrics.broke_off(Meaning.SILENT if error.silent else Meaning.RESET)
            await relay.break_off(broken_off(silent=error.silent))
        finally:
            row.in_flight -= 1
            exchange.upstream_seconds = trio.current_time() - exchange.sent_at
            exchange.prompt_tokens, exchange.completion_tokens = usage.tokens()
            row.prompt_tokens += exchange.prompt_tokens
            row.completion_tokens += exchange.completion_tokens
            await answer.aclose()

    async def _obtain(self, call: Call, exchange: Exchange, row: AgentRow) -> Answer | Stored | Refusal:
        """Slots and attempts, until one is answered for good or no further one is worth it."""
        last: Stored | Refusal = DRAINING
        for earlier in count():
            grant = await self._admit(call.ask, exchange, row, again=earlier > 0)
            if not isinstance(grant, Grant):
                return last if earlier else turned_away(grant)
            result = await self._attempt(call, grant, exchange, row)
            if isinstance(result.answer, Answer):
                return result.answer
            last = no_answer(result.answer) if isinstance(result.answer, Failure) else result.answer
            pause = backoff_seconds(result.meaning, earlier, self._lot())
            in_time = trio.current_time() + pause <= call.ask.deadline_at
            if not (in_time and worth_another(result.meaning, earlier, self._settings.max_retries)):
                break
            self._metrics.retry(result.meaning)
            with self._waiting(exchange, row):
                await trio.sleep(pause)
        return last

    async def _admit(self, ask: Ask, exchange: Exchange, row: AgentRow, *, again: bool) -> Grant | TurnedAway:
        """Wait for a slot."""
        with self._waiting(exchange, row):
            grant = await self._gate.admit(ask, again=again)
        self._metrics.decided(grant, ask.band)
        return grant

    async def _attempt(self, call: Call, grant: Grant, exchange: Exchange, row: AgentRow) -> Result:
        """Use the slot, and learn from what comes."""
        exchange.attempts += 1
        exchange.sent_at = trio.current_time()
        row.in_flight += 1
        try:
            result = await attempt(self._upstream, call.outgoing, grant.written)
        except BaseException:
            self._gate.probe_lost(grant)
            raise
        finally:
            row.in_flight -= 1
            exchange.upstream_seconds = trio.current_time() - exchange.sent_at
            grant.unsent()  # unless something was written
        self._gate.learn(grant, result.meaning, result.retry_after, succeeded=result.succeeded)
        if self._keys.own_authorization is not None:
            self._gate.note_key(result.meaning, succeeded=result.succeeded)
        if result.meaning in {Meaning.THROTTLED, Meaning.WORKERS_FULL}:
            row.throttled += 1
        self._metrics.attempted(exchange, result)
        return result

    @contextmanager
    def _waiting(self, exchange: Exchange, row: AgentRow) -> Generator[None]:
        """Who waits is seen waiting, and for how long."""
        since = row.waiting_since[exchange.id] = trio.current_time()
        try:
            yield
        finally:
            del row.waiting_since[exchange.id]
            exchange.queue_seconds += trio.current_time() - since

    def _with_our_time(self, answer: Stored, ask: Ask) -> Stored:
        """A 429 that is passed on names our time to come back, not the upstream's (which names none)."""
        if answer.status != 429:
            return answer
        kept = [header for header in answer.headers if header[0] not in {b"retry-after", b"retry-after-ms"}]
        ours = retry_headers(self._gate.expected_wait(ask.band, ask.model))
        return Stored(answer.status, [*kept, *ours], answer.body)


def _exchange(scope: Scope) -> Exchange:
    return Exchange(token_hex(16), scope["method"], scope["path"], trio.current_time())


def _id_header(exchange: Exchange) -> tuple[bytes, bytes]:
    return b"x-sidecar-request-id", exchange.id.encode("ascii")
