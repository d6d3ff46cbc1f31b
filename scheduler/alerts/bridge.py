"""The port that Alertmanager knows: `POST /webhook`, `GET /health`.

Alertmanager gives up on any 4xx at once, so that is what it gets only for what could never be kept; each is
logged. What may be kept a moment later is answered 503.
"""

import hmac
from collections.abc import Callable
from typing import Final

import structlog
import trio

from scheduler.alerts.payload import PayloadError, read_alerts
from scheduler.alerts.rendering import notice_of
from scheduler.api.desk import Record
from scheduler.api.errors import HttpError, HungUpError
from scheduler.api.identity import is_loopback, unauthorized
from scheduler.api.incoming import JSON_TYPE, Incoming, media_type, unsupported
from scheduler.api.replies import Json, Refusal, as_http
from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardError
from scheduler.blackboard.store import Store
from scheduler.core.errors import Refused
from scheduler.roster import Roster
from scheduler.version import __version__
from scheduler.wire import time_json
from shared import clock
from shared.asgi import App, Headers, Receive, Scope, Send

MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a message: a group of some two thousand alerts."""
PATIENCE_SECONDS: Final = 2.0
"""For the board, where somebody asks how we are."""

_WEBHOOK: Final = "/webhook"
_METHODS: Final = {_WEBHOOK: ("POST",), "/health": ("GET", "HEAD")}

_log = structlog.get_logger()


def build_bridge(
    board: Board,
    token: str,
    *,
    listen_host: str,
    roster: Callable[[], Roster],
    told: Callable[[], None],
    record: Record,
) -> App:
    """The app of the bridge's port, to be put behind a guard.

    An empty `token` lets everybody on this machine in, and nobody else. `told`: there is news in the outbox.
    `record` is the audit log's, for what was denied.
    """
    bridge = _Bridge(board, token, may_be_open=is_loopback(listen_host), roster=roster, told=told)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope, receive)
        try:
            reply = await bridge.reply(scope, incoming)
        except HungUpError:
            return
        except HttpError as error:
            reply = Refusal(_noted(scope, error, record))
        except (Refused, BoardError) as error:
            reply = Refusal(_noted(scope, as_http(error), record))
        await reply(scope, incoming, send)

    return app


def _noted(scope: Scope, error: HttpError, record: Record) -> HttpError:
    """What was not kept, Alertmanager may never tell again."""
    if scope["path"] == _WEBHOOK and scope["method"] == "POST":
        _log.warning("alerts_refused", status=error.status, error=error.message)
        if error.status == 401:
            record(
                "write_denied",
                at=clock.wall(),
                actor="nobody",
                subject=_WEBHOOK,
                outcome=error.code,
                details={},
            )
    return error


class _Bridge:
    """The endpoints. Holds nothing of its own."""

    def __init__(
        self,
        board: Board,
        token: str,
        *,
        may_be_open: bool,
        roster: Callable[[], Roster],
        told: Callable[[], None],
    ) -> None:
        self._board, self._token, self._may_be_open = board, token.encode(), may_be_open
        self._roster, self._told = roster, told

    async def reply(self, scope: Scope, incoming: Incoming) -> App:
        """Raises HttpError, HungUpError, Refused, BoardError."""
        methods = _METHODS.get(scope["path"])
        if methods is None:
            raise HttpError(404, "not_found", "There is nothing at this path.")
        if scope["method"] not in methods:
            allowed = ", ".join(methods)
            message = f"This path takes {allowed} only."
            raise HttpError(405, "invalid_request", message, {b"allow": allowed.encode()})
        if scope["path"] == _WEBHOOK:
            return await self._webhook(scope["headers"], incoming)
        return await self._health()

    async def _webhook(self, headers: Headers, incoming: Incoming) -> App:
        self._admit([value for name, value in headers if name == b"authorization"])
        types = [value for name, value in headers if name == b"content-type"]
        if len(types) != 1 or media_type(types[0].decode("latin-1")) != JSON_TYPE:
            raise unsupported(JSON_TYPE)
        try:
            alerts = read_alerts(await incoming.whole(MOST_BYTES))
        except PayloadError as error:
            message = f"This is no message of Alertmanager's: {error}."
            raise HttpError(400, "invalid_request", message) from None
        now, zone = clock.wall(), self._roster().timezone
        await self._board.write(Store.tell, [notice_of(each, zone, now) for each in alerts])
        _log.info("alerts_received", alerts=len(alerts))
        self._told()
        return Json({"alerts": len(alerts)})

    def _admit(self, authorization: list[bytes]) -> None:
        """Raises HttpError (401)."""
        if not self._token:
            if self._may_be_open:
                return
            raise unauthorized(
                "Others reach this port, too: it takes no alerts without SCHEDULER_ALERT_TOKEN."
            )
        scheme, _, token = (authorization[0] if len(authorization) == 1 else b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(token.strip(), self._token):
            raise unauthorized("This needs the alert token, as a bearer token.")

    async def _health(self) -> App:
        database = await self._database()
        healthy = database["status"] == "healthy"
        picture = {
            "status": database["status"],
            "version": __version__,
            "components": {"database": database},
            "timestamp": time_json(clock.wall()),
        }
        return Json(picture, 200 if healthy else 503)

    async def _database(self) -> dict[str, str]:
        with trio.move_on_after(PATIENCE_SECONDS):
            try:
                await self._board.read(Store.check)
            except BoardError as error:
                return {"status": "unhealthy", "reason": str(error)}
            return {"status": "healthy"}
        return {"status": "unhealthy", "reason": f"no answer within {PATIENCE_SECONDS:.0f} s"}
