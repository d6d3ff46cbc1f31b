"""What the audit log asks of a store."""

from collections.abc import Sequence
from typing import Protocol

from scheduler.audit.record import AuditRecord


class AuditStore(Protocol):
    """Keeps records. Owned by one `AuditLog`, which calls it from a thread, never twice at the same time.

    Both calls may block and may raise any Exception; the log tries again later. The exception's text reaches
    the process's log and `/health`, so it holds no secret.
    """

    def write(self, records: Sequence[AuditRecord]) -> None:
        """Make all of them durable, in this order. They are final when it returns.

        When it raises, the same records come again: so all or none, as far as the store can. That is at least
        once, not exactly once: an answer that was lost cannot be told from a refusal.
        """

    def prune(self, before: float) -> int:
        """Delete what happened before `before` (Unix time); how many records that were."""
