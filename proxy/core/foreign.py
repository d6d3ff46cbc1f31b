"""Somebody else spends this key: 429s that our own sends do not explain.

A 429 while our own window had room for more is about sends that are not ours, or about a limit of that
model's own. The other models tell: once one of them was served after this model's last 429, its next 429 is
its own affair. The first one counts, because nothing is known then; with one model in use all do.
"""

from proxy.core.evidence import Evidence

FORGET_AFTER_SECONDS = 600.0
MOST_MODELS = 50


class Foreign:
    """What speaks for another spender. Owner of its state: the lane's ``Gate``."""

    def __init__(self) -> None:
        self.count = 0
        self._evidence: Evidence | None = None
        # By model: when it was refused last, and whether another model has been served since.
        self._refused: dict[str, tuple[float, bool]] = {}

    def served(self, model: str) -> None:
        """A request of that model was answered as it wished."""
        self._refused.pop(model, None)
        for other, (at, _) in self._refused.items():
            self._refused[other] = (at, True)

    def throttled(self, model: str, now: float, *, room: bool) -> bool:
        """A 429, with or without room in our own window: does it count as another's?"""
        at, others_served = self._refused.pop(model, (now, False))
        own = others_served and now - at < FORGET_AFTER_SECONDS
        self._refused[model] = (now, own)
        while len(self._refused) > MOST_MODELS:
            del self._refused[next(iter(self._refused))]
        if own or not room:
            return False
        self.count += 1
        fresh = self.evidence(now)
        self._evidence = fresh.again(now) if fresh else Evidence.seen("throttled_with_room", now)
        return True

    def evidence(self, now: float) -> Evidence | None:
        """What was seen lately; None where it is long ago."""
        seen = self._evidence
        return seen if seen and now - seen.last_at < FORGET_AFTER_SECONDS else None
