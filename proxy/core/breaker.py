"""Upstream trouble that lasts: five failed requests in a row, and nobody is sent there but one to try it.

There is a breaker for each model (its HTTP errors, its silence) and one for the provider (no connection, or
one that is reset): a model that is broken must not close the others. A request that is refused at once
costs its client nothing, one that is tried in vain up to half a minute and six slots.

    closed   --the fifth failed request in a row-->      open     5 s, later 10, 20, 30
    open     --its time is over, and somebody asks-->    trying   that request is the trial
    trying   --it failed-->                              open     twice as long
    trying   --it came to nothing (it left, say)-->      open     the next one may try at once
    any      --an answer-->                              closed

What is counted are requests, with all their attempts; a trial has a single one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxy.core.classify import Meaning
from proxy.core.evidence import Evidence, keep_newest
from proxy.core.fairness import TicketId

FAILURES_IN_A_ROW = 5
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 30.0
FORGET_AFTER_SECONDS = 600.0
"""Failures that are further apart are no row; and what nobody has tried for so long starts afresh."""


class State(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    """Requests pass; failures in a row are counted."""
    OPEN = "open"
    """Requests are refused until a time has come; then one is let through."""
    TRYING = "trying"
    """That one is under way; the others are refused."""


class Event(StrEnum):
    """What may happen to a breaker."""

    ENOUGH = "enough"
    TRY = "try"
    FAILED = "failed"
    LOST = "lost"
    ANSWERED = "answered"


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.CLOSED: {Event.ENOUGH: State.OPEN, Event.ANSWERED: State.CLOSED},
    State.OPEN: {Event.TRY: State.TRYING, Event.ANSWERED: State.CLOSED},
    State.TRYING: {Event.FAILED: State.OPEN, Event.LOST: State.OPEN, Event.ANSWERED: State.CLOSED},
}

# What the outcome of an attempt says: of the provider's connections, and of the model. None: nothing.
_PROVIDER: Final = {Meaning.UNREACHABLE: False, Meaning.RESET: False} | dict.fromkeys(
    (Meaning.SILENT, Meaning.GARBAGE, Meaning.REDIRECT)
)
_MODEL: Final = {
    Meaning.TROUBLE: False,
    Meaning.SILENT: False,
    Meaning.ANSWERED: True,
    Meaning.UNAVAILABLE: True,
}


def _says(meaning: Meaning, key: str | None) -> bool | None:
    """Does it work? Any HTTP answer says so of the provider; of the model only one that its workers gave."""
    return _PROVIDER.get(meaning, True) if key is None else _MODEL.get(meaning)


@dataclass(slots=True)
class Breaker:
    """One of them. Owner of its state: ``Breakers``."""

    evidence: Evidence
    state: State = State.CLOSED
    pause_seconds: float = FIRST_PAUSE_SECONDS
    until: float = 0.0
    trial: TicketId | None = None

    def happen(self, event: Event) -> None:
        """KeyError for what cannot happen in this state."""
        self.state = TRANSITIONS[self.state][event]
        self.trial = None

    def open_at(self, now: float) -> None:
        """Refuse from now on for as long as its pause is."""
        self.until = now + self.pause_seconds

    def wait_seconds(self, now: float) -> float:
        """How long a request has to stay away; 0 if it may go, or may try."""
        match self.state:
            case State.CLOSED:
                return 0.0
            case State.OPEN:
                return max(0.0, self.until - now)
            case _:  # TRYING
                return FIRST_PAUSE_SECONDS

    def is_down(self, now: float) -> bool:
        """Is everybody refused? Once its time has come it is not: whoever asks then finds out."""
        return self.wait_seconds(now) > 0


class Breakers:
    """Those of one lane, by model; None is the provider's. Owner of its state: the lane's ``Models``."""

    def __init__(self) -> None:
        self._breakers: dict[str | None, Breaker] = {}

    def wait_or_try(self, model: str, id_: TicketId, now: float) -> float:
        """How long a newcomer has to stay away; 0 if it may pass. When it is time to try, it is the trial."""
        concerned = self._of(model, now) if self._breakers else []
        wait = max((breaker.wait_seconds(now) for breaker in concerned), default=0.0)
        if not wait:
            for breaker in concerned:
                if breaker.state is State.OPEN:
                    breaker.happen(Event.TRY)
                    breaker.trial = id_
        return wait

    def left(self, id_: TicketId, now: float) -> None:
        """A request is gone without an answer; if it was a trial, another may be."""
        for breaker in self._breakers.values():
            if breaker.trial == id_:
                breaker.happen(Event.LOST)
                breaker.until = now

    def attempted(self, model: str, id_: TicketId, meaning: Meaning, now: float) -> None:
        """What an attempt came to."""
        for key in (None, model):
            breaker = self._breakers.get(key)
            if breaker is None:
                continue
            works = _says(meaning, key)
            if works:
                breaker.happen(Event.ANSWERED)
                del self._breakers[key]
            elif breaker.trial == id_:
                breaker.happen(Event.LOST if works is None else Event.FAILED)
                if works is None:
                    breaker.until = now
                else:
                    breaker.evidence = breaker.evidence.again(now)
                    breaker.pause_seconds = min(breaker.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
                    breaker.open_at(now)

    def gave_up(self, model: str, meaning: Meaning, now: float) -> set[str | None]:
        """A request failed for good: which breakers that has opened."""
        opened = set[str | None]()
        for key in (None, model):
            if _says(meaning, key) is not False or key == "":
                continue
            breaker = self._counted(key, str(meaning), now)
            if breaker.state is State.CLOSED and breaker.evidence.count >= FAILURES_IN_A_ROW:
                breaker.happen(Event.ENOUGH)
                breaker.open_at(now)
                opened.add(key)
        return opened

    def _counted(self, key: str | None, what: str, now: float) -> Breaker:
        breaker = self._breakers.pop(key, None)
        if breaker is None or now - breaker.evidence.last_at > FORGET_AFTER_SECONDS:
            breaker = Breaker(Evidence.seen(what, now))
        elif breaker.state is State.CLOSED:
            breaker.evidence = breaker.evidence.again(now)
        self._breakers[key] = breaker
        keep_newest(self._breakers)
        return breaker

    @property
    def broken_by(self) -> Evidence | None:
        """What opened the provider's, as long as it has not closed again."""
        provider = self._breakers.get(None)
        return provider.evidence if provider is not None and provider.state is not State.CLOSED else None

    def is_down(self, now: float) -> bool:
        """Is everybody refused, whatever the model?"""
        provider = self._breakers.get(None)
        return provider is not None and provider.is_down(now)

    def models(self, now: float) -> Iterator[tuple[str, Breaker]]:
        """The models' that have opened, whether it is time to try them or not."""
        for key, breaker in self._breakers.items():
            stale = now - breaker.evidence.last_at > FORGET_AFTER_SECONDS
            if key is not None and breaker.state is not State.CLOSED and not stale:
                yield key, breaker

    def _of(self, model: str, now: float) -> list[Breaker]:
        """The provider's and the model's, where there are any; stale ones are dropped."""
        for key in (None, model):
            breaker = self._breakers.get(key)
            if breaker and now - breaker.evidence.last_at > FORGET_AFTER_SECONDS:
                del self._breakers[key]
        return [self._breakers[key] for key in (None, model) if key in self._breakers]
