"""How many requests of a model may be with the upstream at once: additive increase, multiplicative decrease.

A model's workers are shared by all of NVIDIA's tenants. "Worker local total request limit reached" says
that they are taken, not how many of them are ours to take, so the number is found as TCP finds its window:
halved when they are full, one more after each minute in which they were not, and after half an hour of such
minutes there is no limit any more. It concerns this model alone: who has to wait for it stands in nobody
else's way.

Several requests of one burst are refused together. Those that were sent before the number was halved tell
nothing new: they make the clean minute begin anew, and halve nothing (TCP: one halving in a round trip).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.core.evidence import Evidence, keep_newest

CLEAN_SECONDS = 60.0
RELEASED_AFTER_MINUTES = 30
UNLIMITED = float("inf")


@dataclass(slots=True)
class _Limit:
    limit: int
    halved_at: float
    grows_at: float
    evidence: Evidence
    clean_minutes: int = 0


class Governor:
    """What is under way for each model, and the limits of some. Owner of its state: the lane's ``Models``."""

    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()
        self._limits: dict[str, _Limit] = {}

    def begin(self, model: str) -> None:
        """One more request of that model is on its way."""
        self._in_flight[model] += 1

    def end(self, model: str) -> None:
        """One of them is over, whatever came of it."""
        self._in_flight[model] -= 1
        if not self._in_flight[model]:
            del self._in_flight[model]

    def in_flight(self, model: str) -> int:
        """How many are under way."""
        return self._in_flight[model]

    def full(self, model: str, now: float, *, sent_at: float) -> None:
        """A request that was sent at `sent_at` was told that the model's workers are all taken."""
        known = self._known(model, now)
        if known is None:
            limit, evidence = self._half(self._in_flight[model]), Evidence.seen("workers_full", now)
            known = _Limit(limit, now, now + CLEAN_SECONDS, evidence)
        else:
            known.evidence = known.evidence.again(now)
            known.grows_at, known.clean_minutes = now + CLEAN_SECONDS, 0
            if sent_at > known.halved_at:
                known.limit = self._half(min(known.limit, self._in_flight[model]))
                known.halved_at = now
            del self._limits[model]  # and in again, as the newest
        self._limits[model] = known
        keep_newest(self._limits)

    def limit(self, model: str, now: float) -> int | None:
        """The limit that holds now; None without one."""
        known = self._known(model, now)
        return None if known is None else known.limit

    def room(self, model: str, now: float) -> float:
        """How many more may be sent at once."""
        limit = self.limit(model, now)
        return UNLIMITED if limit is None else max(0, limit - self._in_flight[model])

    def grows_at(self, model: str, now: float) -> float:
        """When the limit will next be raised or dropped; infinity without one."""
        known = self._known(model, now)
        return UNLIMITED if known is None else known.grows_at

    def limits(self, now: float) -> Iterator[tuple[str, int, Evidence]]:
        """The limited models, each with its limit and what it was learnt from."""
        for model in list(self._limits):
            if known := self._known(model, now):
                yield model, known.limit, known.evidence

    def _known(self, model: str, now: float) -> _Limit | None:
        """Its limit as it has grown by now. Steps are taken at the very times that `grows_at` named."""
        known = self._limits.get(model)
        while known and now >= known.grows_at:
            known.limit += 1
            known.clean_minutes += 1
            known.grows_at += CLEAN_SECONDS
            if known.clean_minutes == RELEASED_AFTER_MINUTES:
                del self._limits[model]
                known = None
        return known

    @staticmethod
    def _half(count: int) -> int:
        return max(1, count // 2)
