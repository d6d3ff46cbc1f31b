"""When to try again, and when to stop. Pure."""

from typing import Final

from scheduler.core.notices import Unsent

PAUSES_SECONDS: Final = (10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
"""After the first failure, the second, and so on; then always the last. Who restarts is back in a minute."""
TRIED_FOR_SECONDS: Final = 24 * 3600.0
LEAST_TRIES: Final = 12
"""Both: a day of a machine that slept is not a day of trying."""


def pause_seconds(failures: int) -> float:
    """After so many failures in a row, one at least."""
    return PAUSES_SECONDS[min(failures, len(PAUSES_SECONDS)) - 1]


def hopeless(unsent: Unsent, now: float) -> bool:
    """Whether a further failure is the last: nobody has taken it for a day."""
    return unsent.tries + 1 >= LEAST_TRIES and now - unsent.notice.at >= TRIED_FOR_SECONDS
