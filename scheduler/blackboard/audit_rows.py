"""The audit log's rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, bindparam, delete, insert

from scheduler.blackboard.rows import as_json
from scheduler.blackboard.tables import audit

if TYPE_CHECKING:  # of no use to one command of the command line
    from scheduler.audit.record import AuditRecord

_INSERT: Final = insert(audit)
_PRUNE: Final = delete(audit).where(audit.c.at < bindparam("before"))


def write(connection: Connection, records: "Sequence[AuditRecord]") -> None:
    rows = [
        {
            "at": record.at,
            "actor": record.actor,
            "action": record.action,
            "subject": record.subject,
            "outcome": record.outcome,
            "details": as_json(record.details),
        }
        for record in records
    ]
    connection.execute(_INSERT, rows)


def prune(connection: Connection, before: float) -> int:
    """What happened before `before`; how many that were."""
    return connection.execute(_PRUNE, {"before": before}).rowcount
