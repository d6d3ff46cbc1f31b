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
"""An extension of the scope, where the server offers it: a function of the app's that is called when the
client hangs up, or when its answer is complete; None until the app sets one."""

Headers = list[tuple[bytes, bytes]]
