"""The three ASGI callables, under one name each.

Hypercorn types every message as a `TypedDict`; an application that builds them by hand gains nothing from
that and would have to cast at every line. A scope and a message are mappings with string keys here, and
whoever reads a value says what it expects.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HANG_UP = "clawpace.hang_up"
"""An extension of the scope, where the server offers it: a `HangUp`, which tells at once what ASGI only tells
to one who waits for a message."""


class HangUp:
    """The end of one request's connection, or of its answer. Owner: the server; one app listens."""

    def __init__(self) -> None:
        self._happened = False
        self._listener: Callable[[], None] | None = None

    def happen(self) -> None:
        """The client has gone, or has got all of its answer."""
        self._happened = True
        if self._listener is not None:
            self._listener()

    def listen(self, listener: Callable[[], None] | None) -> None:
        """Have this called when it happens; now, if it has."""
        self._listener = listener
        if self._happened and listener is not None:
            listener()


Headers = list[tuple[bytes, bytes]]
