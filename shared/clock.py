"""The one file that reads a clock.

Everybody else is handed a time: that is what lets a day of traffic run through the core in a millisecond and
lets a test say what time it is. The linter bans `time.time`, `time.monotonic` and `datetime.now` elsewhere.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def monotonic() -> float:
    """Seconds that only go forward, from an arbitrary start: for durations and deadlines in one process."""
    return time.monotonic()  # noqa: TID251 - this is the one place


def wall() -> float:
    """Unix time in seconds: for what outlives the process or is shown to somebody. May step either way."""
    return time.time()  # noqa: TID251 - this is the one place


def rfc3339(unix_seconds: float) -> str:
    """`2026-03-01T09:30:00.250Z`: UTC with milliseconds, cut, not rounded (a stamp is never in the future).

    Raises OverflowError, OSError or ValueError for a time that no calendar holds, as `datetime` does.
    """
    whole = datetime.fromtimestamp(unix_seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{whole.microsecond // 1000:03d}Z"


def boot_id() -> str:
    """What tells this run of the machine from the last one; '' where the operating system has no such thing.

    A monotonic time that was stored by an earlier process is only worth something on the same boot.
    """
    try:
        return _LINUX_BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError):
        return ""
