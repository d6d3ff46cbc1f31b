"""The end of a process: it drains, it stops, and if something holds it, it ends anyway.

    serving --begin_drain()--> draining --end_drain()--> stopped

Whoever asks "is it still worth beginning this?" reads `draining`; whoever runs until the drain begins or ends
awaits one of the two events. No step is ever taken back.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import trio

FLUSH_SECONDS: Final = 1.0
"""How long the last flush of stdout may take: a pipe that nobody reads would hold it for ever."""


class Lifecycle:
    """Where in its life the process is. Owner of the two events: nobody else sets them.

    `drain_begun`: set when new work is refused. `drain_ended`: set when the servers may stop (what was in
    flight is done, or its time is up); it is what `serving.serve` takes as `shutdown`.
    """

    def __init__(self) -> None:
        self.drain_begun = trio.Event()
        self.drain_ended = trio.Event()

    @property
    def draining(self) -> bool:
        """True from `begin_drain` on, also when the drain has ended."""
        return self.drain_begun.is_set()

    def begin_drain(self) -> None:
        """Idempotent; does not block."""
        self.drain_begun.set()

    def end_drain(self) -> None:
        """Idempotent; does not block. A drain that was never begun is begun and ended."""
        self.drain_begun.set()
        self.drain_ended.set()

    def __repr__(self) -> str:
        state = "stopped" if self.drain_ended.is_set() else "draining" if self.draining else "serving"
        return f"<Lifecycle {state}>"


def last_resort(
    seconds: float, exit_code: int = 0, *, leave: Callable[[int], object] = os._exit
) -> threading.Timer:
    """End the process `seconds` from now, whatever holds it; `cancel()` the answer if it is not needed.

    For the moment shortly after a drain's deadline (trap 2: a write that is shielded, a thread in a system
    call, an app that swallows its cancellation). A thread and `os._exit`, because the event loop may be what
    is stuck; so nothing is unwound: no `finally` runs, no connection is closed in order, only stdout is
    flushed. `leave` is for tests.
    """

    def end() -> None:
        flush = threading.Thread(target=_flush_stdout, daemon=True)
        flush.start()
        flush.join(FLUSH_SECONDS)
        leave(exit_code)

    timer = threading.Timer(seconds, end)
    timer.daemon = True  # a process that ends by itself does not wait for this
    timer.start()
    return timer


def _flush_stdout() -> None:
    with suppress(OSError, ValueError, AttributeError):  # gone, closed, or never there
        sys.stdout.flush()
