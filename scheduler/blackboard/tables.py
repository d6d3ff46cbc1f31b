"""The board's tables: one schema for SQLite and PostgreSQL, as the latest migration leaves it.

The rule: this file is what statements are made from, ``migrations/`` is what databases are made by; a test
compares the two. Times are Unix seconds, lists and mappings are JSON texts, ids are the number in `T-0042`.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

from scheduler.core.states import Status

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite counts rows by a column that is called INTEGER and nothing else.
_Number: Final = BigInteger().with_variant(Integer, "sqlite")


def _numbered() -> Column[int]:
    return Column("number", _Number, primary_key=True, autoincrement=True)


def _task(*, primary_key: bool = False) -> Column[int]:
    return Column(
        "task",
        _Number,
        ForeignKey("tasks.number"),
        primary_key=primary_key,
        nullable=False,
        index=None if primary_key else True,
    )


# In the order in which they are looked at: SQLite reads a row up to the last column that is asked for, and
# what is long stands at the end.
tasks: Final = Table(
    "tasks",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("assignee", Text),
    Column("pending_since", Double),
    Column("not_before", Double),
    Column("dependency_count", Integer, nullable=False),
    Column("dependencies_met", Boolean, nullable=False),
    Column("dependency_notified", Boolean, nullable=False),
    Column("waiting_because", Text),
    Column("expected_start_at", Double),
    Column("blocked_by", Text),
    Column("approval", Text, nullable=False),
    Column("review", Text, nullable=False),
    Column("archived_at", Double),
    Column("epoch", BigInteger, nullable=False),
    Column("claimant", Text),
    Column("claim_hash", Text),
    Column("lease_seconds", Double, nullable=False),
    Column("lease_until", Double),
    Column("attempt", BigInteger, nullable=False),
    Column("max_attempts", BigInteger, nullable=False),
    Column("requeues", BigInteger, nullable=False),
    Column("turns", BigInteger, nullable=False),
    Column("max_turns", BigInteger),
    Column("turns_warned", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("progress_at", Double),
    Column("excused_at", Double),
    Column("suspect_at", Double),
    Column("checked_at", Double),
    Column("creator", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("external_id", Text),
    Column("review_of", _Number, ForeignKey("tasks.number")),
    Column("risk_tools", Text, nullable=False),
    Column("expects", Text, nullable=False),
    Column("findings", Text, nullable=False),
    Column("waiting_for", Text),
    Column("blocked_reason", Text),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    CheckConstraint(f"status IN ({', '.join(repr(status.value) for status in Status)})", name="status"),
    UniqueConstraint("source", "external_id"),
    Index(None, "status", "priority", "pending_since", "number"),
    Index(None, "assignee"),
    Index(None, "review_of"),
)

dependencies: Final = Table(
    "dependencies",
    metadata,
    _task(primary_key=True),
    Column("depends_on", _Number, ForeignKey("tasks.number"), primary_key=True, autoincrement=False),
    Index(None, "depends_on"),
    sqlite_with_rowid=False,
)

attempts: Final = Table(
    "attempts",
    metadata,
    _task(primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("agent", Text, nullable=False),
    Column("claimed_at", Double, nullable=False),
    Column("run", Text, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("end", Text, nullable=False),
    Column("error", Text, nullable=False),
    Column("stop_because", Text),
    Column("turns", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("throttled", BigInteger, nullable=False),
    Column("excused_seconds", Double, nullable=False),
    Column("archived_at", Double),
    Index(None, "run", "archived_at", "ended_at"),
    sqlite_with_rowid=False,  # the key is the order on the disk: one page less to write per claim
)

outputs: Final = Table(
    "outputs",
    metadata,
    _numbered(),
    _task(),
    Column("epoch", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("path", Text, nullable=False, unique=True),
    Column("final", Boolean, nullable=False),
)

comments: Final = Table(
    "comments",
    metadata,
    _numbered(),
    _task(),
    Column("author", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("text", Text, nullable=False),
)

observations: Final = Table(
    "observations",
    metadata,
    _numbered(),
    _task(),
    Column("author", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("text", Text, nullable=False),
)

decisions: Final = Table(
    "decisions",
    metadata,
    _numbered(),
    _task(),
    Column("by", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
)

events: Final = Table(
    "events",
    metadata,
    _numbered(),
    _task(),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("from_status", Text),
    Column("to_status", Text, nullable=False),
    Column("details", Text, nullable=False),
)

outbox: Final = Table(
    "outbox",
    metadata,
    _numbered(),
    Column("cause", Text, nullable=False, unique=True),
    Column("to", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("done_at", Double),
    Column("card", Text),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("next_try_at", Double),
    Column("error", Text, nullable=False, server_default=""),
    Index(None, "done_at", "number"),
)

agents: Final = Table(
    "agents",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("paused_until", Double),
    Column("paused_by", Text),
    Column("paused_at", Double),
    Column("run_seconds", Double),
    Column("digest", Text),
)

heartbeats: Final = Table(
    "heartbeats",
    metadata,
    Column("agent", Text, primary_key=True),
    Column("due_at", Double, primary_key=True),
    Column("fired_at", Double),
    Column("result", Text),
)

# What stands in a task source, and what it was told: one row per card, issue or line there.
mirrors: Final = Table(
    "mirrors",
    metadata,
    Column("source", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("task", _Number, ForeignKey("tasks.number"), index=True),
    Column("stage", Text, nullable=False),
    Column("told", Text, nullable=False),
    Column("told_turns", BigInteger, nullable=False),
    Column("told_at", Double),
    Column("handle", Text),
    Column("fingerprint", Text, nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("missing_since", Double),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", Double),
    Column("error", Text, nullable=False),
    sqlite_with_rowid=False,
)

audit: Final = Table(
    "audit",
    metadata,
    _numbered(),
    Column("at", Double, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("details", Text, nullable=False),
)

counters: Final = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
