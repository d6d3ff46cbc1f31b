"""Which path leads where.

What is under `/v1` goes to the handler as it came; our own endpoints are answered here; everything else does
not exist. `/v1` is matched on the raw bytes of the target, because those are what is sent on.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.handler import Handler
from proxy.openapi import DESCRIPTION
from proxy.status import Status
from shared.answers import error_body
from shared.asgi import App, Receive, Scope, Send


def build_app(handler: Handler, status: Status, upstream_reachable: Callable[[], Awaitable[bool]]) -> App:
    """The app of the proxy's port, to be put behind a guard."""
    own = _own_endpoints(status, upstream_reachable)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["raw_path"].startswith(b"/v1/"):
            await handler(scope, receive, send)
        else:
            await own(scope, receive, send)

    return app


def _own_endpoints(status: Status, upstream_reachable: Callable[[], Awaitable[bool]]) -> Starlette:
    def page(path: str, content: Callable[[], object]) -> Route:
        async def endpoint(_request: Request) -> Response:
            return _json(content())

        return Route(path, endpoint, methods=["GET"])

    async def ready(_request: Request) -> Response:
        picture = status.ready(upstream_reachable=await upstream_reachable())
        return _json(picture, status=200 if picture["ready"] else 503)

    app = Starlette(
        routes=[
            page("/health", status.health),
            Route("/health/ready", ready, methods=["GET"]),
            page("/status", status.status),
            page("/api/capacity", status.capacity),
            page("/api/agents", status.agents),
            page("/openapi.json", lambda: DESCRIPTION),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False  # `/health/` does not exist
    return app


async def _refused(_request: Request, error: Exception) -> Response:
    """Starlette's 404 and 405, in the form that all our errors have.

    A plain function would be run in a thread, which costs more than the answer.
    """
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        code, message = "not_found", "there is nothing at this path"
    else:
        code, message = "invalid_request", "this method is not served here"
    return Response(
        error_body(code, message),
        status_code=error.status_code,
        headers=dict(error.headers or {}),
        media_type="application/json",
    )


async def _failed(_request: Request, _error: Exception) -> Response:
    """In the place of Starlette's plain text. The error goes on to the guard, which logs it."""
    body = error_body("internal_error", "Something went wrong here; the log says what.")
    return Response(body, status_code=500, media_type="application/json")


def _json(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type="application/json")
