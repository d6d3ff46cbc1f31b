"""From bytes to a call: what one request asks for, whose it is, how urgent, and what of it is to be sent."""

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from proxy.body import BadBodyError, Body, read_body, with_model
from proxy.caller import identify, patience_seconds, stated_patience
from proxy.core.band import Band
from proxy.core.rhythm import Rhythm
from proxy.exchange import Exchange
from proxy.gate import Ask
from proxy.headers import first, to_upstream
from proxy.incoming import read_content
from proxy.keepalive import empty_chunk
from proxy.keys import Keys, KnownClient
from proxy.refusals import Refusal
from proxy.settings import Settings
from proxy.upstream import Outgoing
from shared import clock
from shared.asgi import Headers, Receive, Scope

JSON_ENDPOINTS: Final = frozenset({b"/v1/chat/completions", b"/v1/completions", b"/v1/embeddings"})


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was read: what to send, and what it asks of the gate."""

    outgoing: Outgoing
    ask: Ask
    rhythm: Rhythm | None
    """When the client is to hear from us while it waits; None for one that does not stream."""
    chunk: bytes | None
    """What it then hears; None where the endpoint has no form for that."""

    def plain(self) -> Outgoing:
        """For a client that was answered already: what comes is sent on without its encoding."""
        kept = [header for header in self.outgoing.headers if header[0] != b"accept-encoding"]
        return replace(self.outgoing, headers=[*kept, (b"accept-encoding", b"identity")])

    def for_model(self, model: str) -> "Call":
        """The same for another model."""
        content = with_model(self.outgoing.content, model)
        headers = [
            (name, b"%d" % len(content) if name == b"content-length" else value)
            for name, value in self.outgoing.headers
        ]
        outgoing = replace(self.outgoing, headers=headers, content=content)
        return replace(self, outgoing=outgoing, ask=replace(self.ask, model=model))


class Reader:
    """Reads requests as the settings say; holds nothing of them."""

    def __init__(self, settings: Settings, keys: Keys, upstream_host: bytes) -> None:
        self._settings = settings
        self._keys = keys
        self._upstream_host = upstream_host

    async def read(self, scope: Scope, receive: Receive) -> bytes | Refusal:
        """The whole body, or why not. Raises HungUpError."""
        return await read_content(receive, scope["headers"], max_bytes=self._settings.max_body_bytes)

    def understand(
        self, exchange: Exchange, scope: Scope, content: bytes, client: KnownClient
    ) -> Call | Refusal:
        """Who asks for what, how urgently, and what is to be sent."""
        headers: Headers = scope["headers"]
        try:
            body = self._body(scope, content)
        except BadBodyError as error:
            return Refusal(400, error.code, error.message)
        address = scope.get("client")
        nameless = client.name or (address[0] if address else "local")
        exchange.caller = identify(headers, body, max_band=client.max_band, nameless=nameless)
        exchange.model, exchange.stream = body.model, body.stream
        authorization = self._keys.authorization(headers)
        if authorization is None:
            return Refusal(401, "missing_key", "no API key: neither the sidecar nor the request has one")
        account = self._keys.account(headers)
        rhythm, chunk = None, None
        if body.stream:
            rhythm = Rhythm.of(self._settings.keepalive_after, stated_patience(headers))
            created = int(clock.wall())
            chunk = empty_chunk(scope["raw_path"], id_=exchange.id, model=body.model, created=created)
        ask = self._ask(exchange, headers, account)
        return Call(self._outgoing(scope, body, authorization), ask, rhythm, chunk)

    def _body(self, scope: Scope, content: bytes) -> Body:
        """Strict on the endpoints that are known; elsewhere what can be read is, and the rest passes."""
        aliases = self._settings.gateway_aliases
        if scope["method"] == "POST" and scope["raw_path"] in JSON_ENDPOINTS:
            return read_body(content, aliases)
        if content and (first(scope["headers"], b"content-type") or b"").startswith(b"application/json"):
            with suppress(BadBodyError):
                return read_body(content, aliases, needs_model=False)
        return Body(content)

    def _outgoing(self, scope: Scope, body: Body, authorization: bytes) -> Outgoing:
        path: bytes = scope["raw_path"].removeprefix(b"/v1")
        if scope["query_string"]:
            path += b"?" + scope["query_string"]
        has_body = bool(body.content) or scope["method"] in {"POST", "PUT", "PATCH"}
        return Outgoing(
            method=scope["method"],
            path=path,
            headers=to_upstream(
                scope["headers"],
                host=self._upstream_host,
                authorization=authorization,
                content_length=len(body.content) if has_body else None,
            ),
            content=body.content,
        )

    def _ask(self, exchange: Exchange, headers: Headers, account: str) -> Ask:
        caller, settings = exchange.caller, self._settings
        low = caller.band is Band.LOW
        patience = min(
            settings.low_priority_timeout if low else settings.queue_timeout,
            patience_seconds(headers, stream=exchange.stream),
        )
        deadline_at = exchange.arrived_at + patience
        return Ask(caller.band, caller.agent, caller.session, exchange.model, deadline_at, account)
