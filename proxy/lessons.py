"""What the attempts of one lane teach it, handed to its engine; and what of it people should hear, logged."""

from dataclasses import dataclass

import structlog

from proxy.blockage import Blockage
from proxy.core.admission import Admission
from proxy.core.classify import Meaning
from proxy.core.fairness import Ticket
from proxy.core.foreign import Foreign

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Attempted:
    """One attempt, and what it came to."""

    ticket: Ticket
    sent_at: float
    probe: bool
    """It was to try a paused model."""
    meaning: Meaning
    succeeded: bool
    """The upstream did what was asked."""


class Lessons:
    """Owner of what the engine need not know to decide: who else spends the key, why the lane is blocked."""

    def __init__(self, core: Admission) -> None:
        self._core = core
        self.blockage = Blockage()
        self.foreign = Foreign()

    def attempted(self, attempt: Attempted, answer: object, now: float) -> None:
        """`answer` is what may be said again to others, should the model not be there to be had."""
        ticket, model = attempt.ticket, attempt.ticket.model
        self._core.attempted(ticket, attempt.meaning, now)
        self.blockage.note_upstream(broken=self._core.broken_by is not None)
        match attempt.meaning:
            case Meaning.THROTTLED | Meaning.WORKERS_FULL:
                self.refused(attempt, now)
            case Meaning.UNREACHABLE | Meaning.RESET | Meaning.SILENT | Meaning.GARBAGE:
                self._core.probe_lost(ticket, now, probe=attempt.probe)
            case meaning:
                if attempt.succeeded:
                    self.foreign.served(model)
                self._core.answered(model, now, probe=attempt.probe, served=attempt.succeeded)
                if meaning is Meaning.UNAVAILABLE and model:
                    _log.warning("model_unavailable", model=model)
                    self._core.unavailable(ticket, answer, now)

    def refused(self, attempt: Attempted, now: float) -> None:
        """Too many, for the account, for the model or for its workers; also at the end of a stream."""
        model = attempt.ticket.model
        if attempt.meaning is Meaning.WORKERS_FULL:
            self._core.workers_full(model, now, sent_at=attempt.sent_at, probe=attempt.probe)
            return
        if self.foreign.throttled(model, now, room=self._core.window_has_room(now)):
            suspected = "somebody else spends this key"
            _log.warning("throttled_with_room_in_our_window", model=model, suspected=suspected)
        self._core.throttled(model, now, probe=attempt.probe)

    def gave_up(self, ticket: Ticket, meaning: Meaning, now: float) -> None:
        """A request has failed for good; this was what its last attempt came to."""
        for model in self._core.gave_up(ticket, meaning, now):
            _log.warning("model_down", model=model, failed_with=str(meaning))
        self.blockage.note_upstream(broken=self._core.broken_by is not None)
