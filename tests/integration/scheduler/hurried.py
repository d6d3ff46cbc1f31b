"""A scheduler that waits for nothing long: `python -m tests.integration.scheduler.hurried [POINT]`.

The product's pauses are for people and for slow programs, and a test would only sleep through them. They are
shortened here, where the product knows nothing of it; what happens, and in which order, stays the same.
Beneath a POINT the process is killed there, as `killing` says.
"""

import sys

from scheduler import watchman
from scheduler.__main__ import app
from scheduler.core import alarms
from scheduler.core.exchange import mirror
from tests.integration.scheduler.killing import kill_at


def hurry() -> None:
    """Half a second and less, instead of half a minute."""
    watchman.EVERY_SECONDS = 0.2  # type: ignore[misc]  # a constant of the product's, and that is the point
    alarms.AWAY_SECONDS = 0.5  # type: ignore[misc]  # likewise
    alarms.OVER_SECONDS = 0.5  # type: ignore[misc]  # likewise
    mirror.IN_FLIGHT_SECONDS = 0.5  # type: ignore[misc]  # likewise
    mirror.FIRST_BACKOFF_SECONDS = 0.1  # type: ignore[misc]  # likewise


if __name__ == "__main__":
    hurry()
    if sys.argv[1:]:
        kill_at(sys.argv.pop(1))
    app(prog_name="agent-scheduler")
