"""Telling systemd how we are: ready, stopping, still alive (sd_notify(3)). Silent where nobody asked."""

import os
import socket
from typing import Final

import structlog
import trio

_MICROSECONDS: Final = 1_000_000
_log = structlog.get_logger()


class SdNotify:
    """Built from the values of `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID`, None where unset.

    A notification that cannot be sent is logged and forgotten: a manager that hears nothing acts by itself.
    """

    def __init__(
        self, notify_socket: str | None, watchdog_usec: str | None = None, watchdog_pid: str | None = None
    ) -> None:
        self._address = _address(notify_socket or "")
        # A watchdog meant for another process (our parent's, inherited) is none of ours.
        ours = watchdog_pid in {None, "", str(os.getpid())}
        self._interval_seconds = _seconds(watchdog_usec or "") / 2 if ours else 0.0

    def __repr__(self) -> str:
        return f"<SdNotify to {self._address!r}, watchdog every {self._interval_seconds:g} s>"

    def ready(self) -> None:
        """The start is complete: `systemctl start` returns, units after this one begin."""
        self._send("READY=1")

    def stopping(self) -> None:
        """The shutdown has begun; from here TimeoutStopSec counts."""
        self._send("STOPPING=1")

    async def watchdog(self) -> None:
        """Say "alive" at half the interval asked for, until cancelled; returns at once where none was.

        It is a task of the event loop on purpose: a loop that is stuck falls silent and is restarted.
        """
        if not self._address or self._interval_seconds <= 0:
            return
        while True:
            self._send("WATCHDOG=1")
            await trio.sleep(self._interval_seconds)

    def _send(self, state: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode("ascii"), self._address)
        except OSError as error:
            _log.warning("sd_notify_failed", state=state, error=str(error))


def _address(notify_socket: str) -> str:
    """A path, or an abstract name, which is written `@name`. Other kinds (vsock) are not spoken to."""
    if notify_socket.startswith("@"):
        return "\0" + notify_socket[1:]
    return notify_socket if notify_socket.startswith("/") else ""


def _seconds(microseconds: str) -> float:
    return int(microseconds) / _MICROSECONDS if microseconds.isascii() and microseconds.isdigit() else 0.0
