"""What one tick came to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared import clock


@dataclass(frozen=True, slots=True)
class TickReport:
    """True of the moment at which it ended."""

    at: float
    """Unix seconds"""
    seconds: float
    outcome: str
    """`ok` or `failed`"""
    error: str = ""
    commands: Mapping[str, int] = field(default_factory=dict)
    outdated: int = 0
    started: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    alarms: tuple[str, ...] = ()
    live: int = 0
    """runs under way"""

    def as_json(self) -> Mapping[str, object]:
        """For the API."""
        return {
            "at": clock.rfc3339(self.at),
            "seconds": round(self.seconds, 6),
            "outcome": self.outcome,
            "error": self.error,
            "commands": dict(self.commands),
            "outdated": self.outdated,
            "started": list(self.started),
            "ended": list(self.ended),
            "alarms": list(self.alarms),
            "live": self.live,
        }
