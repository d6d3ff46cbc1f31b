"""Models that cannot be had: their refusal is remembered for a minute, and said again at no cost.

A refusal names the account, so it is remembered for the account that got it; and only for a minute, because
a degraded function comes back without anybody saying so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from proxy.core.evidence import Evidence, keep_newest

REMEMBERED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Refused:
    """One model's refusal."""

    answer: object
    """The upstream's own; whoever remembers it knows what it is."""
    until: float
    evidence: Evidence


class Unavailable:
    """The refusals by account and model. Owner of its state: the lane's ``Models``."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str], Refused] = {}

    def remember(self, account: str, model: str, answer: object, now: float) -> None:
        """The upstream has just said so."""
        known = self._refused.pop((account, model), None)
        evidence = known.evidence.again(now) if known else Evidence.seen("unavailable", now)
        self._refused[account, model] = Refused(answer, now + REMEMBERED_SECONDS, evidence)
        keep_newest(self._refused)

    def forget(self, account: str, model: str) -> None:
        """It was served."""
        self._refused.pop((account, model), None)

    def known(self, account: str, model: str, now: float) -> Refused | None:
        """What was answered within the last minute."""
        refused = self._refused.get((account, model))
        return refused if refused and now < refused.until else None

    def models(self, now: float) -> Iterator[tuple[str, Refused]]:
        """The models that are known to be unavailable, for one account or another."""
        for (_, model), refused in self._refused.items():
            if now < refused.until:
                yield model, refused
