"""A scheduler that gives OpenClaw minutes: `python -m tests.integration.scheduler.patient`.

The product gives a foreign command 30 seconds, five times what the slowest one takes on two idle cores. Tests
share their cores with others, and are not about that; here the product's limits are longer than theirs.
"""

from scheduler.__main__ import app
from scheduler.gateway import Gateway
from scheduler.sources.shared import Shared

SECONDS = 240.0


def be_patient() -> None:
    """With each question to OpenClaw, and with each source."""
    for method, limit in ((Gateway.__init__, "timeout_seconds"), (Shared.__init__, "time_limit_seconds")):
        defaults = method.__kwdefaults__
        assert defaults is not None
        assert limit in defaults
        defaults[limit] = SECONDS


if __name__ == "__main__":
    be_patient()
    app(prog_name="agent-scheduler")
