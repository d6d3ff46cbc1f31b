"""Streams that wait: empty chunks in the place of silence, until the upstream's own follow.

A wait is an entry in a heap; only one that lasts becomes a task, and one that ends before its time costs
nothing but that entry. (A nursery around every stream would cost 26 us and some kilobytes each.)
"""

import heapq
from itertools import count
from typing import Final, Protocol

import msgspec
import trio

from proxy.core.rhythm import Rhythm

CHAT: Final = b"/v1/chat/completions"
COMPLETIONS: Final = b"/v1/completions"


def empty_chunk(path: bytes, *, id_: str, model: str, created: int) -> bytes | None:
    """An event of the endpoint's own form that adds nothing to its text; None where no form is known."""
    said: dict[str, object]
    match path:
        case b"/v1/chat/completions":
            kind, named, said = (
                "chat.completion.chunk",
                "chatcmpl",
                {"delta": {"role": "assistant", "content": ""}},
            )
        case b"/v1/completions":
            kind, named, said = "text_completion", "cmpl", {"text": ""}
        case _:
            return None
    choice = {"index": 0, **said, "finish_reason": None}
    chunk = {"id": f"{named}-{id_}", "object": kind, "created": created, "model": model, "choices": [choice]}
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


class Listener(Protocol):
    """The client that waits, as far as it is needed here."""

    async def begin_events(self) -> None: ...
    async def send_event(self, event: bytes) -> None: ...


class Hold:
    """One wait. Owner: the relay of its request, which ends it before it sends anything itself."""

    def __init__(self, listener: Listener, chunk: bytes, every: float) -> None:
        self._listener = listener
        self._chunk = chunk
        self._every = every
        self._enough = trio.Event()
        self._silent: trio.Event | None = None  # set when nothing more is being sent
        self._error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Has it been told to end?"""
        return self._enough.is_set()

    def begin(self) -> None:
        """Its time has come; `beat` follows."""
        self._silent = trio.Event()

    async def beat(self) -> None:
        """The head, then a chunk at a time. What goes wrong is told where the wait ends."""
        assert self._silent is not None
        try:
            if not self.is_over:
                await self._listener.begin_events()
            while not self.is_over:
                await self._listener.send_event(self._chunk)
                with trio.move_on_after(self._every):
                    await self._enough.wait()
        except Exception as error:
            self._error = error  # the request's, and not the task's of all waits
        finally:
            self._silent.set()

    def let_go(self) -> None:
        """No more of it; what is being sent is not waited for."""
        self._enough.set()

    async def end(self) -> None:
        """No more of it, and nothing is being sent any longer. Raises what went wrong meanwhile.

        A chunk that is under way is waited for: half of one would spoil the stream.
        """
        self.let_go()
        if self._silent is not None:
            await self._silent.wait()
        if self._error is not None:
            raise self._error


class KeepAlive:
    """The waits of all streams. Owner of the heap; `run` is its task."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Hold]] = []
        self._numbers = count()
        self._ended = 0  # of those in the heap, about
        self._rearm = trio.Event()
        self._armed_for = float("-inf")

    def hold(self, listener: Listener, chunk: bytes, rhythm: Rhythm, arrived_at: float) -> Hold:
        """Somebody begins to wait."""
        hold = Hold(listener, chunk, rhythm.every)
        at = arrived_at + rhythm.begin_after
        heapq.heappush(self._heap, (at, next(self._numbers), hold))
        if at < self._armed_for:
            self._rearm.set()
        return hold

    def let_go(self, hold: Hold) -> None:
        """It waits no longer. Forgotten ones are swept out when they are the most."""
        hold.let_go()
        self._ended += 1
        if self._ended > len(self._heap) // 2 + 64:
            self._heap = [entry for entry in self._heap if not entry[2].is_over]
            heapq.heapify(self._heap)
            self._ended = 0

    async def run(self) -> None:
        """Begin the chunks of those whose time has come. Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._rearm = trio.Event()
                self._armed_for = self._heap[0][0] if self._heap else float("inf")
                with trio.move_on_at(self._armed_for):
                    await self._rearm.wait()
                while self._heap and self._heap[0][0] <= trio.current_time():
                    _, _, hold = heapq.heappop(self._heap)
                    if not hold.is_over:
                        hold.begin()
                        nursery.start_soon(hold.beat)
