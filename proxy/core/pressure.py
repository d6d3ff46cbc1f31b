"""Models that answered "too many": each is left alone for a while, then tried by one request.

Without a pause every waiting request for such a model spends a slot to learn the same: one blocked model
took 40 of 119 sends in three minutes, with pauses and single probes 8 (simulated). Other models go on.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass

from proxy.core.evidence import MOST_MODELS, Evidence

FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 30.0
"""2 s doubling to 30: a limit of one model was seen to last for minutes, and a probe costs a slot."""

FORGET_AFTER_SECONDS = 600.0
"""A model that nobody has asked for since its pause ended starts afresh; bounds what is remembered."""


@dataclass(slots=True)
class _Pause:
    seconds: float
    until: float
    evidence: Evidence
    probing: bool = False


class Pressure:
    """The paused models of one lane. Owner of its state: the lane's ``Models``."""

    def __init__(self) -> None:
        self._pauses: dict[str, _Pause] = {}

    def throttled(self, model: str, now: float, *, probe: bool, what: str = "throttled") -> None:
        """The model refused a request, because of `what`. Those sent before its pause tell nothing new."""
        pause = self._pauses.get(model)
        if pause is None:
            evidence = Evidence.seen(what, now)
            self._pauses[model] = _Pause(FIRST_PAUSE_SECONDS, now + FIRST_PAUSE_SECONDS, evidence)
            return
        pause.evidence = pause.evidence.again(now)
        if probe:
            pause.seconds = min(pause.seconds * 2, LONGEST_PAUSE_SECONDS)
            pause.until, pause.probing = now + pause.seconds, False

    def cleared(self, model: str) -> None:
        """A probe was answered by anything but "too many": the model takes requests again."""
        self._pauses.pop(model, None)

    def probe_lost(self, model: str) -> None:
        """A probe ended without an answer (its client left, say): the next request may be one."""
        if pause := self._pauses.get(model):
            pause.probing = False

    def begin_probe(self, model: str) -> None:
        """One request for this paused model is on its way; nobody else is sent until it is answered."""
        self._pauses[model].probing = True

    def is_paused(self, model: str) -> bool:
        """Must requests for this model hold back (a single probe apart)?"""
        return model in self._pauses

    def probe_at(self, model: str) -> float:
        """When a paused model may be probed; infinity while a probe is under way."""
        pause = self._pauses[model]
        return float("inf") if pause.probing else pause.until

    def until(self, model: str) -> float:
        """When the model's pause ends; a probe may be under way by then."""
        return self._pauses[model].until

    def pauses(self) -> Iterator[tuple[str, float]]:
        """The paused models, each with the time its pause ends."""
        for model, pause in self._pauses.items():
            yield model, pause.until

    def seen(self, now: float) -> Iterator[tuple[str, float, Evidence]]:
        """The paused models, each with the end of its pause and its reason; not those of long ago."""
        for model, pause in self._pauses.items():
            if pause.probing or now <= pause.until + FORGET_AFTER_SECONDS:
                yield model, pause.until, pause.evidence

    def forget(self, now: float, *, but: Container[str]) -> None:
        """Drop the pauses that ended long ago, `but` those of models for which somebody waits.

        Where there are too many, also such as have just ended: that costs at most one more refusal.
        """
        for model, pause in list(self._pauses.items()):
            patience = FORGET_AFTER_SECONDS if len(self._pauses) <= MOST_MODELS else 0.0
            stale = pause.until + patience < now
            if stale and not pause.probing and model not in but:
                del self._pauses[model]
