"""How fast a custom bot may be spoken to: 5 messages a second, 100 a minute. Pure."""

from collections import deque
from typing import Final

# Messages, seconds. A little longer than the documented windows: where theirs begin, nobody says.
LIMITS: Final = ((5, 1.1), (100, 61.0))


class Pace:
    """What one bot was sent lately, by when each answer came: a message has arrived by then, so whatever the
    way there takes, the bot sees no window fuller than we do. Owner: the lane of its target.
    """

    def __init__(self) -> None:
        self._sent_at: deque[float] = deque(maxlen=max(most for most, _ in LIMITS))

    def free_at(self, now: float) -> float:
        """When the next may be sent, `now` at the earliest."""
        sent = self._sent_at
        return max(now, *(sent[-most] + seconds if len(sent) >= most else now for most, seconds in LIMITS))

    def sent(self, now: float) -> None:
        """One was answered, however."""
        self._sent_at.append(now)

    def __repr__(self) -> str:
        return f"<Pace, {len(self._sent_at)} sent lately>"
