"""An upstream without a network: it answers as it is told, and knows what it was asked."""

from collections.abc import AsyncIterator, Callable, Iterable

import httpcore
import httpx
import trio

from proxy.core.classify import Meaning
from proxy.upstream import Answer, Failure, Outgoing, Upstream

BREAK = "break"


class Pieces(httpx.AsyncByteStream):
    """A body as it arrives; after BREAK the connection is gone."""

    def __init__(self, pieces: Iterable[bytes | str]) -> None:
        self._pieces = list(pieces)
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            await trio.lowlevel.checkpoint()
            if isinstance(piece, str):
                raise httpcore.RemoteProtocolError(piece)
            yield piece

    async def aclose(self) -> None:
        self.closed = True


class Reply:
    """What the upstream says once."""

    def __init__(
        self, status: int, *pieces: bytes | str, headers: Iterable[tuple[bytes, bytes]] = (), after: float = 0
    ) -> None:
        self.status = status
        self.headers = list(headers)
        self.after = after
        self.body = Pieces(pieces)


class ScriptedUpstream(Upstream):
    """Its replies in their order, the last one again and again; a Meaning is a failure to answer."""

    def __init__(self, *script: Reply | Meaning) -> None:
        super().__init__("http://upstream.test/v1", first_byte_seconds=300.0, silence_seconds=60.0)
        self.script = list(script)
        self.asked: list[Outgoing] = []

    async def send(self, outgoing: Outgoing, on_written: Callable[[], None]) -> Answer | Failure:
        self.asked.append(outgoing)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        await trio.sleep(step.after if isinstance(step, Reply) else 0)
        if isinstance(step, Meaning):
            if step is not Meaning.UNREACHABLE:
                on_written()
            return Failure(step, "scripted")
        on_written()
        answer = Answer(httpx.Response(step.status, headers=step.headers, stream=step.body), 60.0)
        await answer.begin()
        return answer


QUESTION = Outgoing("POST", b"/chat/completions", [], b"{}")
