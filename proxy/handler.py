"""ONE REQUEST, top to bottom.

    read it  ->  obtain an answer (``obtaining``: slots and attempts)  ->  pass it on

Everything before the first byte of an upstream's answer reaches the client can be repeated, and is, as long
as the client's deadline allows; nothing after it is. One watcher stands beside all of it: when the client
hangs up, whatever the request holds (a place in the queue, a slot, a connection to the upstream) is given
back at once.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from secrets import token_hex

import trio

from proxy.agents import AgentRow, Agents
from proxy.attempt import Stored, is_event_stream
from proxy.call import Call, Reader
from proxy.core.classify import Meaning, classify
from proxy.exchange import Exchange
from proxy.gate import Ask, Gate
from proxy.headers import first
from proxy.incoming import HungUpError, hearing_hang_ups
from proxy.keepalive import KeepAlive
from proxy.keys import Keys
from proxy.metrics import Metrics
from proxy.models import ModelsCache, asks_for_models
from proxy.obtaining import Obtaining, Served
from proxy.refusals import DRAINING, Refusal, broken_off, retry_headers
from proxy.relay import Relay
from proxy.settings import Settings
from proxy.upstream import BrokenOffError, Upstream
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
        keepalive: KeepAlive,
        lifecycle: Lifecycle,
        lot: Callable[[], float],
    ) -> None:
        """`lot` draws from [0, 1), for the jitter of pauses."""
        self._settings = settings
        self._gate = gate
        self._obtaining = Obtaining(
            settings, gate=gate, upstream=upstream, metrics=metrics, keys=keys, lot=lot
        )
        self._agents = agents
        self._metrics = metrics
        self._models = models
        self._lifecycle = lifecycle
        self._keys = keys
        self._keepalive = keepalive
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
        with self._kept_alive(call, exchange, relay):
            answer = await self._obtaining.obtain(call, exchange, row, is_answered=lambda: relay.started)
            added = _added(exchange)
            if isinstance(answer, Refusal):
                exchange.broken_off |= relay.started
                await relay.refuse(answer, added)
                return
            exchange.upstream_answered = True
            row.last_answer_at = clock.wall()
            if isinstance(answer, Stored):
                exchange.broken_off |= relay.started or answer.error is not None
                told = self._with_our_time(self._keys.without_ours(answer), call.ask)
                await relay.pass_stored(told, added)
            else:
                await self._pass_on(answer, added, exchange, relay, row)

    @contextmanager
    def _kept_alive(self, call: Call, exchange: Exchange, relay: Relay) -> Generator[None]:
        """A stream that waits for long hears from us."""
        if call.rhythm is None or call.chunk is None:
            yield
            return
        relay.kept_waiting = lambda: _added(exchange)
        hold = self._keepalive.hold(relay, call.chunk, call.rhythm, exchange.arrived_at)
        relay.wait(hold)
        try:
            yield
        finally:
            self._keepalive.let_go(hold)

    async def _pass_on(
        self, served: Served, added: Headers, exchange: Exchange, relay: Relay, row: AgentRow
    ) -> None:
        answer = served.answer
        usage = UsageReader(first(answer.headers, b"content-encoding"))
        row.in_flight += 1
        try:
            await relay.pass_on(answer, added, usage)
            self._learn_from_the_end(served, exchange, usage)
        except BrokenOffError as error:
            exchange.broken_off = True
            self._metrics.broke_off(str(Meaning.SILENT if error.silent else Meaning.RESET))
            await relay.break_off(broken_off(silent=error.silent))
        finally:
            row.in_flight -= 1
            served.grant.ended()
            exchange.upstream_seconds = trio.current_time() - exchange.sent_at
            exchange.prompt_tokens, exchange.completion_tokens = usage.tokens()
            row.prompt_tokens += exchange.prompt_tokens
            row.completion_tokens += exchange.completion_tokens
            await answer.aclose()

    def _learn_from_the_end(self, served: Served, exchange: Exchange, usage: UsageReader) -> None:
        """A stream may end with an error, which was passed on as it came."""
        if is_event_stream(served.answer.headers) and (frame := usage.error()) is not None:
            exchange.broken_off = True
            self._metrics.broke_off(str(frame.status))
            self._gate.learn_late(served.grant, classify(frame.status, frame.data))

    def _with_our_time(self, answer: Stored, ask: Ask) -> Stored:
        """A 429 that is passed on names our time to come back, not the upstream's (which names none)."""
        if answer.status != 429:
            return answer
        kept = [header for header in answer.headers if header[0] not in {b"retry-after", b"retry-after-ms"}]
        ours = retry_headers(self._gate.expected_wait(ask.band, ask.model))
        return Stored(answer.status, [*kept, *ours], answer.body)


def _exchange(scope: Scope) -> Exchange:
    return Exchange(token_hex(16), scope["method"], scope["path"], trio.current_time())


def _added(exchange: Exchange) -> Headers:
    """What the head of every answer says, as it is at that moment."""
    return [
        _id_header(exchange),
        (b"x-sidecar-queue-ms", b"%d" % (exchange.queued_by(trio.current_time()) * 1000)),
        (b"x-sidecar-attempts", b"%d" % exchange.attempts),
    ]


def _id_header(exchange: Exchange) -> tuple[bytes, bytes]:
    return b"x-sidecar-request-id", exchange.id.encode("ascii")
