"""The guard in front of everything on a port: refuses what ``screening`` does not let on; catches last."""

from collections.abc import Callable, Collection

import structlog
import trio

from shared.answers import refuse, refuse_unread
from shared.asgi import App, Message, Receive, Scope, Send
from shared.screening import CLOSE, Refusal, Screening

_log = structlog.get_logger()


class Guard:
    """ASGI middleware, for HTTP. What the app raises is logged as `internal_error` and answered 500 here, and
    never reaches the server's own logger."""

    def __init__(
        self,
        app: App,
        *,
        allowed_hosts: Collection[str],
        listen_host: str,
        on_refusal: Callable[[Scope, Refusal], None] = lambda _scope, _refusal: None,
    ) -> None:
        """`on_refusal` hears of every request that went no further, for whoever counts them."""
        self._app = app
        self._screening = Screening(allowed_hosts=allowed_hosts, listen_host=listen_host)
        self._on_refusal = on_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._screening.judge(scope)
        if refusal is None:
            await self._run(scope, receive, send)
        else:
            self._on_refusal(scope, refusal)
            await _refuse(scope, receive, send, refusal)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as fault:
            await _answer_fault(scope, receive, send, fault, started=started)
        except BaseExceptionGroup as group:
            # A nursery may hand up a cancellation and a fault in one group: each goes its own way.
            passing, faults = group.split((trio.Cancelled, KeyboardInterrupt, SystemExit, GeneratorExit))
            if faults is not None:
                _log_fault(scope, faults)
            if passing is not None:
                raise passing from None


def _announces_a_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )


async def _refuse(scope: Scope, receive: Receive, send: Send, refusal: Refusal) -> None:
    if _announces_a_body(scope):
        extra = tuple(header for header in refusal.headers if header not in CLOSE)
        await refuse_unread(receive, send, refusal.status, refusal.code, refusal.message, extra)
    else:
        await refuse(send, refusal.status, refusal.code, refusal.message, refusal.headers)


async def _answer_fault(
    scope: Scope, receive: Receive, send: Send, fault: Exception, *, started: bool
) -> None:
    """Log what the app raised; answer 500 if nothing was sent. A begun answer cannot be taken back: returning
    without its end makes the server cut the connection, which is how HTTP/1.1 says that it is not whole."""
    _log_fault(scope, fault)
    if not started:
        refusal = Refusal(500, "internal_error", "Something went wrong here; the log says what.")
        await _refuse(scope, receive, send, refusal)


def _log_fault(scope: Scope, fault: BaseException) -> None:
    # Method and path only: the query, the headers and the body are the client's, and may be secret.
    _log.error(
        "internal_error",
        error=type(fault).__name__,
        method=scope["method"],
        path=scope["path"][:200],
        exc_info=fault,
    )
