"""A stand-in for Feishu's custom bots, for tests of the messages.

The rule: it is as strict as the real one is said to be: it checks the signature and its age, takes 5 messages
a second and 100 a minute by when they arrive, and no body over 20 KB; whatever happened, it answers 200 and a
`code`. Written from the documentation, and without a look at our own sender.

    bot = FeishuStandIn(secret="s")
    FeishuSender(transport=bot.transport)      # in memory
    serve(bot.app, ...)                        # on a port
    assert bot.texts == ["…"]
"""

import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import trio

from shared import clock
from shared.asgi import Receive, Scope, Send

PATH = "/open-apis/bot/v2/hook/0b8cd5a5-key-of-the-bot"
WEBHOOK = f"https://feishu.example{PATH}"
MOST_BYTES = 20 * 1000


def answered(body: str, status: int = 200) -> httpx.Response:
    """An answer as the network brings it: nobody has read it yet."""

    async def pieces() -> AsyncIterator[bytes]:
        yield body.encode()

    return httpx.Response(status, content=pieces())


class FeishuStandIn:
    """One bot. `messages` is what its group has seen."""

    def __init__(self, *, secret: str = "") -> None:
        self._secret = secret
        self._arrivals: deque[float] = deque()
        self.messages: list[dict[str, Any]] = []
        self.seen_at: list[float] = []
        self.refused: list[int] = []
        """codes"""
        self.answers: list[httpx.Response | Exception | Mapping[str, object]] = []
        """What comes next in the place of an answer of its own, in this order."""

    @property
    def texts(self) -> list[str]:
        """What stands in text messages, and in the headings of cards."""
        return [
            message["content"]["text"]
            if message["msg_type"] == "text"
            else message["card"]["header"]["title"]["content"]
            for message in self.messages
        ]

    @property
    def transport(self) -> httpx.MockTransport:
        """In the place of the network."""

        async def answer(request: httpx.Request) -> httpx.Response:
            await trio.lowlevel.checkpoint()
            if self.answers:
                match self.answers.pop(0):
                    case httpx.Response() as response:
                        return response
                    case Exception() as error:
                        raise error
                    case given:
                        return answered(json.dumps(given))
            if (request.method, request.url.path) != ("POST", PATH):
                return answered("", 404)
            return answered(json.dumps(self.take(request.content, dict(request.headers))))

        return httpx.MockTransport(answer)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same for a server."""
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        right = (scope["method"], scope["path"]) == ("POST", PATH)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        said = json.dumps(self.take(body, headers) if right else {}).encode()
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(said))]
        await send({"type": "http.response.start", "status": 200 if right else 404, "headers": head})
        await send({"type": "http.response.body", "body": said, "more_body": False})

    def take(self, body: bytes, headers: Mapping[str, str]) -> dict[str, object]:
        """What it answers."""
        code, why = self._judged(body, headers)
        if code:
            self.refused.append(code)
            return {"code": code, "msg": why, "data": {}}
        self.messages.append(json.loads(body))
        self.seen_at.append(trio.current_time())
        return {"StatusCode": 0, "StatusMessage": "success", "code": 0, "data": {}, "msg": "success"}

    def _judged(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        if not headers.get("content-type", "").startswith("application/json"):
            return 9499, "Bad Request"
        now = trio.current_time()
        self._arrivals.append(now)
        while self._arrivals[0] <= now - 60:
            self._arrivals.popleft()
        if len(self._arrivals) > 100 or sum(at > now - 1 for at in self._arrivals) > 5:
            return 11232, "frequency limited psm[lark.oapi.app_platform_runtime]appID[1500]"
        if len(body) > MOST_BYTES:
            return 9499, "Bad Request"
        message = json.loads(body)
        if self._secret and not self._is_signed(message):
            return 19021, "sign match fail or timestamp is not within one hour from current time"
        return self._shape(message)

    def _is_signed(self, message: Mapping[str, Any]) -> bool:
        timestamp, sign = message.get("timestamp"), message.get("sign")
        if not isinstance(timestamp, str) or abs(clock.wall() - int(timestamp)) > 3600:
            return False
        key = f"{timestamp}\n{self._secret}"
        wanted = base64.b64encode(hmac.new(key.encode("utf-8"), digestmod=hashlib.sha256).digest())
        return sign == wanted.decode("utf-8")

    @staticmethod
    def _shape(message: Mapping[str, Any]) -> tuple[int, str]:
        match message:
            case {"msg_type": "text", "content": {"text": str(text)}} if text:
                return 0, ""
            case {"msg_type": "interactive", "card": {"header": {"title": dict()}, "elements": [_, *_]}}:
                return 0, ""
            case _:
                return 19002, "params error, msg_type need"
