"""What is wrong between settings that are each right."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from shared.settings import Conflict

if TYPE_CHECKING:
    from scheduler.settings import Settings


def conflicts(settings: "Settings") -> Iterator[Conflict]:
    """One for each rule that is broken."""
    keys = ("port", "metrics_port", "alert_port")
    for later, key in enumerate(keys):
        port = getattr(settings, key)
        taken = tuple(other for other in keys[:later] if getattr(settings, other) == port)
        if port and taken:  # 0 is any free one, and None is none
            yield Conflict(
                (key,), port, "a different port for the API, the metrics and the alerts each", taken
            )
