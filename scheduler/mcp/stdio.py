"""The same tools on standard input and output, for a client that starts its servers itself.

One message of JSON-RPC per line. What is written to stdout by anything but the protocol goes to stderr: one
stray line would end the conversation. It is over at the end of the input, once what was asked is answered,
or at a signal.
"""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import msgspec
import trio
from mcp.server.stdio import stdio_server

from scheduler.mcp.server import board_server
from scheduler.mcp.tools import Question, Speaker
from scheduler.wire import Json

LONGEST_LINE_BYTES: Final = 4 * 1024 * 1024
"""Of a message that does not end."""
LAST_ANSWERS_SECONDS: Final = 30.0
"""After the end of the input. A call that its client took back is never answered."""


class TooLongError(Exception):
    """What the client sends is no message, or none that anybody should hold in memory."""


def serve(ask: Callable[[Question], Json], speaker: Speaker) -> None:
    """Until the input ends, or SIGTERM or SIGINT comes. `ask` blocks, and raises NotDoneError.

    Raises TooLongError.
    """
    too_long = None
    with _stdout_for_the_protocol() as stdout:
        try:
            trio.run(_serve, ask, stdout, speaker)
        except* TooLongError:
            too_long = TooLongError(f"a message is longer than {LONGEST_LINE_BYTES} bytes")
    if too_long is not None:
        raise too_long


async def _serve(blocking: Callable[[Question], Json], stdout: int, speaker: Speaker) -> None:
    one_at_a_time = trio.CapacityLimiter(1)

    async def ask(question: Question) -> Json:
        # Not abandoned: a write that has begun is waited for, also when all of this is to end.
        return await trio.to_thread.run_sync(blocking, question, limiter=one_at_a_time)

    async with trio.open_nursery() as nursery:
        await nursery.start(_end_at_a_signal, nursery.cancel_scope)
        server = board_server(ask, speaker)
        async with _Lines(sys.stdin.fileno(), stdout) as lines:
            # The package's own streams would wait for a line in a thread, which no signal ends.
            both = cast(Any, lines)
            async with stdio_server(both, both) as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())
        nursery.cancel_scope.cancel()


async def _end_at_a_signal(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        await anext(signals)
        scope.cancel()


class _Message(msgspec.Struct, frozen=True):
    """Of one of the protocol's what says whether it is a request, a notification or an answer."""

    id: int | str | None = None
    method: str | None = None


class _Lines:
    """What the package asks of its text streams: iteration, `write` and `flush`.

    It takes the end of the input for a hang-up, and drops what it is about. But a claim that is on the board
    must not get lost on its way, so the input ends for it when all that was asked is answered.
    """

    def __init__(self, stdin: int, stdout: int) -> None:
        self._incoming = trio.lowlevel.FdStream(os.dup(stdin))
        self._outgoing = trio.lowlevel.FdStream(os.dup(stdout))
        # What is asked and not answered. Changed by `_seen`.
        self._open: set[int | str] = set()
        self._answered = trio.Event()

    async def __aenter__(self) -> "_Lines":
        return self

    async def __aexit__(self, *_: object) -> None:
        await trio.aclose_forcefully(self._incoming)
        await trio.aclose_forcefully(self._outgoing)

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._lines():
            if line.strip():
                self._seen(line)
                yield line.decode("utf-8", "replace")
        with trio.move_on_after(LAST_ANSWERS_SECONDS):
            while self._open:
                self._answered = trio.Event()
                await self._answered.wait()

    async def _lines(self) -> AsyncIterator[bytes]:
        held = b""
        async for piece in self._incoming:
            *lines, held = (held + piece).split(b"\n")
            for line in lines:
                yield line
            if len(held) > LONGEST_LINE_BYTES:
                raise TooLongError
        yield held

    async def write(self, text: str) -> None:
        line = text.encode("utf-8", "replace")
        with suppress(trio.BrokenResourceError):  # nobody reads any more; the end of the input says so too
            await self._outgoing.send_all(line)
        self._seen(line)

    def _seen(self, line: bytes) -> None:
        """Keep account. What is no message is the package's to refuse."""
        try:
            message = msgspec.json.decode(line, type=_Message)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return
        if message.id is None:
            return
        if message.method is not None:
            self._open.add(message.id)
        else:
            self._open.discard(message.id)
            self._answered.set()

    async def flush(self) -> None:
        """Nothing is held back."""
        await trio.lowlevel.checkpoint()


@contextmanager
def _stdout_for_the_protocol() -> Iterator[int]:
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield kept
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
