"""The board's events as they happen, for whoever listens in this process.

DESIGN. Everything that happens on the board is an event with a number, and other processes write too (the
command line on the database). So one task asks for the newest number once a second: one tiny read, and no
other as long as nothing happens. Whoever writes in this process pokes, and it is asked at once.

New events go to the listeners, and in one piece to `on_change`. A listener has room for BACKLOG events; one
that is slower is dropped, because our memory is not for a browser that sleeps: it comes back with the number
of the last event it saw, and reads on from the board.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import structlog
import trio

from scheduler.blackboard.board import Board
from scheduler.blackboard.errors import BoardBroken, BoardError
from scheduler.blackboard.store import Store
from scheduler.core.records import Event

POLL_SECONDS: Final = 1.0
PAGE: Final = 500
BACKLOG: Final = 1_000
MOST_LISTENERS: Final = 200
"""Streams at once. A browser opens one per page; more is a client that forgets to close."""

Numbered = tuple[int, Event]
OnChange = Callable[[Sequence[Event]], None]

_log = structlog.get_logger()


class TooManyListenersError(Exception):
    """No room for another one now."""


class Listener:
    """What one listener has yet to hear. Owner: the feed, which drops it when it has become too much."""

    def __init__(self, room: int) -> None:
        self._send, self._receive = trio.open_memory_channel[Numbered](room)

    @property
    def backlog(self) -> int:
        """How many events wait to be taken."""
        return self._receive.statistics().current_buffer_used

    def tell(self, numbered: Numbered) -> bool:
        """False where there was no room: nothing that comes later will be told either."""
        try:
            self._send.send_nowait(numbered)
        except trio.WouldBlock:
            self.drop()
            return False
        return True

    def drop(self) -> None:
        """What it has been told it can still take; then it is over."""
        self._send.close()

    async def next(self) -> Numbered | None:
        """The next event; None when it was dropped."""
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            return None


class EventFeed:
    """Owner of how far the board's events were seen, and of the listeners."""

    def __init__(
        self,
        board: Board,
        *,
        on_change: OnChange = lambda _events: None,
        backlog: int = BACKLOG,
        most_listeners: int = MOST_LISTENERS,
    ) -> None:
        """`on_change` hears of new events, whoever caused them; it must not block."""
        self._board = board
        self._on_change = on_change
        self._backlog = backlog
        self._most_listeners = most_listeners
        self._poked = trio.Event()
        # Changed by `run` alone.
        self._newest: int | None = None
        self._away = False
        # Changed by `listening`, and by `run` where one is too slow.
        self._listeners: set[Listener] = set()

    def poke(self) -> None:
        """Something was written: look now, and not only when the second is over."""
        self._poked.set()

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """A listener to everything that is seen from now on. Raises TooManyListenersError."""
        if len(self._listeners) >= self._most_listeners:
            raise TooManyListenersError
        listener = Listener(self._backlog)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def run(self) -> None:
        """Look again and again, until cancelled. Raises BoardBroken, after which nobody should go on."""
        while True:
            await self.look()
            with trio.move_on_after(POLL_SECONDS):
                await self._poked.wait()
            self._poked = trio.Event()

    async def look(self) -> None:
        """Take what is new. A board that is away for a while is looked at again. Raises BoardBroken."""
        try:
            newest = await self._board.read(last_event)
            if self._newest is None or newest < self._newest:
                # The first look, or an older board was brought back: what is there already is no news.
                self._newest = newest
            elif newest > self._newest:
                await self._take(self._newest)
        except BoardBroken:
            raise
        except BoardError as error:
            if not self._away:
                _log.warning("events_unavailable", error=str(error))
            self._away = True
        else:
            self._away = False

    async def _take(self, seen: int) -> None:
        while page := await self._board.read(events_after, seen, PAGE):
            self._newest = seen = page[-1][0]
            self._publish(page)

    def _publish(self, news: Sequence[Numbered]) -> None:
        for listener in list(self._listeners):
            if not all(listener.tell(numbered) for numbered in news):
                self._listeners.discard(listener)
                _log.info("event_listener_dropped", backlog=listener.backlog)
        self._on_change([event for _, event in news])

    def __repr__(self) -> str:
        return f"<EventFeed at {self._newest}, {len(self._listeners)} listening>"


def last_event(store: Store) -> int:
    """For `Board.read`: the number of the newest event."""
    return store.last_event()


def events_after(store: Store, number: int, limit: int) -> Sequence[Numbered]:
    """For `Board.read`: what happened after that one, in order."""
    return store.events_after(number, limit)
