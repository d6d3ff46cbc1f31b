"""SIGTERM and SIGINT, as two calls. Hypercorn's `serve` installs no handlers: these are the only ones."""

import signal
from collections.abc import Callable

import trio


async def stop_on_signals(
    on_stop: Callable[[], None],
    on_second: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `on_stop` at the first SIGTERM or SIGINT and `on_second` at every further one, until cancelled.

    Both are called in the Trio task, not in a signal handler, and must not block: set an event. The second
    signal is a person who does not want to wait for the drain. Started when the handlers are in place.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        call = on_stop
        async for _ in signals:
            call()
            call = on_second
