"""Audit records in memory: for tests, and for boards that nobody answers for."""

from collections.abc import Sequence
from typing import Final

from scheduler.audit.record import AuditRecord

MOST_RECORDS: Final = 10_000


class MemoryStore:
    """The latest records. Owner: the audit log."""

    def __init__(self, most_records: int = MOST_RECORDS) -> None:
        self._most_records = most_records
        # Replaced as a whole, never changed: it is written in one thread and read in another.
        self.records: tuple[AuditRecord, ...] = ()
        """The oldest first."""

    def write(self, records: Sequence[AuditRecord]) -> None:
        """Keep them; where there are too many, the oldest go."""
        self.records = (*self.records, *records)[-self._most_records :]

    def prune(self, before: float) -> int:
        """Forget what happened before `before`; how many that were."""
        kept = tuple(record for record in self.records if record.at >= before)
        forgotten, self.records = len(self.records) - len(kept), kept
        return forgotten

    def __repr__(self) -> str:
        return f"<MemoryStore: {len(self.records)} of at most {self._most_records} records>"
