"""The audit log's store in the board's database."""

from collections.abc import Sequence

from scheduler.audit.record import AuditRecord
from scheduler.blackboard.store import Store


class BoardAuditStore:
    """Keeps records beside the tasks that they speak of: one backup has both."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, records: Sequence[AuditRecord]) -> None:
        """All of them, in this order. Raises BoardError."""
        self._store.write_audit(records)

    def prune(self, before: float) -> int:
        """Delete what happened before `before`; how many records that were. Raises BoardError."""
        return self._store.prune_audit(before)

    def __repr__(self) -> str:
        return f"<BoardAuditStore at {self._store.url_shown}>"
