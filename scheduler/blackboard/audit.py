"""The board as a place for the audit log."""

from collections.abc import Sequence

from scheduler.audit.record import AuditRecord
from scheduler.blackboard.store import Store


class BoardAuditStore:
    """What the audit log writes to, and prunes: see `scheduler.audit.store`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, records: Sequence[AuditRecord]) -> None:
        """All of them or none. Raises BoardError."""
        self._store.write_audit(records)

    def prune(self, before: float) -> int:
        """How many were older than that Unix time; news that was told by then goes too. Raises BoardError."""
        count = self._store.prune_audit(before)
        self._store.prune_notices(before)
        return count
