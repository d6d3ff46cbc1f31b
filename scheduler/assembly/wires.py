"""Who hears of what. Made before the parts, which get its methods, and connected when all are there."""

from collections.abc import Mapping, Sequence
from typing import Final

from scheduler.audit.log import AuditLog
from scheduler.core.beats import Beat
from scheduler.core.commands import Start
from scheduler.core.records import Attempt, Event
from scheduler.events import EventFeed
from scheduler.exchange.mirroring import Mirroring
from scheduler.metrics import Metrics
from scheduler.notifications import Notifier
from scheduler.roster import Roster
from scheduler.tick_report import TickReport
from scheduler.ticker import Ticker
from shared import clock, logs

LETS_NOTHING_START: Final = frozenset(
    {"heartbeat", "output", "comment", "observe", "rekey", "run_started", "seen_in_source"}
)
"""Events that the next regular tick is early enough for."""


class Wires:
    """Holds no state but who is at the other ends."""

    ticker: Ticker
    feed: EventFeed
    notifier: Notifier
    mirroring: Mirroring

    def __init__(self, audit: AuditLog, metrics: Metrics) -> None:
        self._audit, self._metrics = audit, metrics

    def note(self, action: str, subject: str, details: Mapping[str, object]) -> None:
        """Something that the scheduler did, for the audit log."""
        self._audit.record(action, at=clock.wall(), actor="scheduler", subject=subject, details=details)

    def roster_changed(self, roster: Roster) -> None:
        """It was read again, whoever asked for that."""
        logs.add_secrets(roster.secrets)
        self.note("config_changed", "roster", {"agents": len(roster.agents)})

    def parked(self, name: str, why: str) -> None:
        """A part was given up."""
        self.note("part_parked", name, {"reason": why})

    def started(self, attempt: Attempt) -> None:
        """A run has begun."""
        self.note("run_started", attempt.run_id, {"agent": attempt.agent})
        self.feed.poke()

    def happened(self, events: Sequence[Event]) -> None:
        """On the board, whoever did it."""
        for event in events:
            self._audit.record(
                event.what, at=event.at, actor=event.who, subject=event.task, details=event.details
            )
        self.notifier.wake()
        self.mirroring.wake()
        if any(event.what not in LETS_NOTHING_START for event in events):
            self.ticker.wake()

    def changed(self) -> None:
        """Something that may let something start was written here."""
        self.feed.poke()
        self.ticker.wake()

    def ticked(self, report: TickReport) -> None:
        """A tick is over."""
        self._metrics.ticked(report.outcome, report.seconds)

    def acted(self, kind: str, status: str, seconds: float) -> None:
        """One command of a plan was carried out."""
        self._metrics.acted(kind, status, seconds)
        if kind == Start.__name__:
            self._metrics.claimed("claimed" if status == "done" else status)

    def beaten(self, beat: Beat) -> None:
        """An agent had its heartbeat."""
        self._metrics.heartbeat_fired(beat.lateness)
        if beat.avoided:
            self.ticker.heartbeat_avoided()
        if beat.started or beat.changed:
            self.changed()
