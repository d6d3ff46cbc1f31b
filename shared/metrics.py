"""Prometheus' page: GET /metrics of a registry that is handed in, and nothing else on that port."""

from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from shared.answers import answer, refuse_unread
from shared.asgi import App, Receive, Scope, Send

_PATH: Final = "/metrics"
_ALLOW: Final = ((b"allow", b"GET, HEAD"),)


def metrics_app(registry: CollectorRegistry, *, before_scrape: Callable[[], Awaitable[None]]) -> App:
    """A plain ASGI app; `before_scrape` brings the gauges up to date, so that they are true on an idle day.

    Text or OpenMetrics, as the `Accept` header asks and the library decides. Not compressed: the page is some
    kilobytes, once in 15 seconds, on the same machine.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != _PATH:
            # Drained like every refusal: a method that is not looked at may come with a body.
            await refuse_unread(receive, send, 404, "not_found", "Only /metrics is served on this port.")
        elif scope["method"] not in {"GET", "HEAD"}:
            await refuse_unread(receive, send, 405, "invalid_request", "GET and HEAD only.", _ALLOW)
        else:
            await before_scrape()
            accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
            encode, content_type = choose_encoder(accept.decode("latin-1"))
            await answer(send, 200, encode(registry), content_type.encode("ascii"))

    return app
