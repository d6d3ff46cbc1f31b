"""When a waiting stream is answered, and how often it then hears that somebody is still there.

OpenClaw waits 600 s for the head of an answer, or as long as it says; once the head has come it needs a
parsed chunk every 300 s. So nothing is sent for as long as nothing has to be: an honest status is worth
more than an early one. The figures are the contract's.
"""

from dataclasses import dataclass

LONGEST_INTERVAL_SECONDS = 15.0
SHORTEST_INTERVAL_SECONDS = 1.0
"""Whatever a client says of its patience, its waiting must not keep anybody busy."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds."""

    begin_after: float
    """From the arrival of the request."""
    every: float

    @classmethod
    def of(cls, keepalive_after: float, patience: float) -> "Rhythm":
        """For a client that waits so long by its own word; infinity or 0 if it said nothing."""
        patience = patience or float("inf")
        return cls(
            begin_after=min(keepalive_after, patience * 3 / 4),
            every=max(min(LONGEST_INTERVAL_SECONDS, patience / 3), SHORTEST_INTERVAL_SECONDS),
        )
