"""The whole board, as the first release has it."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None

# SQLite counts rows by a column that is called INTEGER and nothing else.
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates every table, and the numbers that tasks are counted by."""
    op.create_table(
        "agents",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("paused_until", sa.Double()),
        sa.Column("paused_by", sa.Text()),
        sa.Column("paused_at", sa.Double()),
        sa.Column("run_seconds", sa.Double()),
        sa.PrimaryKeyConstraint("agent", name=op.f("pk_agents")),
    )
    op.create_table(
        "audit",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"])
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "heartbeats",
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("fired_at", sa.Double()),
        sa.Column("result", sa.Text()),
        sa.PrimaryKeyConstraint("agent", "due_at", name=op.f("pk_heartbeats")),
    )
    op.create_table(
        "outbox",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("to", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("done_at", sa.Double()),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outbox")),
        sa.UniqueConstraint("cause", name=op.f("uq_outbox_cause")),
    )
    op.create_index(op.f("ix_outbox_done_at"), "outbox", ["done_at", "number"])
    op.create_table(
        "tasks",
        sa.Column("number", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("assignee", sa.Text()),
        sa.Column("pending_since", sa.Double()),
        sa.Column("not_before", sa.Double()),
        sa.Column("dependency_count", sa.Integer(), nullable=False),
        sa.Column("dependencies_met", sa.Boolean(), nullable=False),
        sa.Column("dependency_notified", sa.Boolean(), nullable=False),
        sa.Column("waiting_because", sa.Text()),
        sa.Column("expected_start_at", sa.Double()),
        sa.Column("blocked_by", sa.Text()),
        sa.Column("approval", sa.Text(), nullable=False),
        sa.Column("review", sa.Text(), nullable=False),
        sa.Column("archived_at", sa.Double()),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("claimant", sa.Text()),
        sa.Column("claim_hash", sa.Text()),
        sa.Column("lease_seconds", sa.Double(), nullable=False),
        sa.Column("lease_until", sa.Double()),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("max_attempts", sa.BigInteger(), nullable=False),
        sa.Column("requeues", sa.BigInteger(), nullable=False),
        sa.Column("turns", sa.BigInteger(), nullable=False),
        sa.Column("max_turns", sa.BigInteger()),
        sa.Column("turns_warned", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("progress_at", sa.Double()),
        sa.Column("excused_at", sa.Double()),
        sa.Column("suspect_at", sa.Double()),
        sa.Column("checked_at", sa.Double()),
        sa.Column("creator", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text()),
        sa.Column("review_of", _NUMBER),
        sa.Column("risk_tools", sa.Text(), nullable=False),
        sa.Column("expects", sa.Text(), nullable=False),
        sa.Column("findings", sa.Text(), nullable=False),
        sa.Column("waiting_for", sa.Text()),
        sa.Column("blocked_reason", sa.Text()),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'claimed', 'working', 'review', 'done', 'blocked', 'failed')",
            name=op.f("ck_tasks_status"),
        ),
        sa.ForeignKeyConstraint(["review_of"], ["tasks.number"], name=op.f("fk_tasks_review_of")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_tasks")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_tasks_source")),
    )
    op.create_index(op.f("ix_tasks_assignee"), "tasks", ["assignee"])
    op.create_index(op.f("ix_tasks_review_of"), "tasks", ["review_of"])
    op.create_index(op.f("ix_tasks_status"), "tasks", ["status", "priority", "pending_since", "number"])
    op.create_table(
        "attempts",
        sa.Column("task", _NUMBER, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.Double(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("ended_at", sa.Double()),
        sa.Column("end", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("stop_because", sa.Text()),
        sa.Column("turns", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("throttled", sa.BigInteger(), nullable=False),
        sa.Column("excused_seconds", sa.Double(), nullable=False),
        sa.Column("archived_at", sa.Double()),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_attempts_task")),
        sa.PrimaryKeyConstraint("task", "epoch", name=op.f("pk_attempts")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_attempts_run"), "attempts", ["run", "archived_at", "ended_at"])
    op.create_table(
        "comments",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("task", _NUMBER, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_comments_task")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_comments")),
    )
    op.create_index(op.f("ix_comments_task"), "comments", ["task"])
    op.create_table(
        "decisions",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("task", _NUMBER, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_decisions_task")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_decisions")),
    )
    op.create_index(op.f("ix_decisions_task"), "decisions", ["task"])
    op.create_table(
        "dependencies",
        sa.Column("task", _NUMBER, nullable=False),
        sa.Column("depends_on", _NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["depends_on"], ["tasks.number"], name=op.f("fk_dependencies_depends_on")),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_dependencies_task")),
        sa.PrimaryKeyConstraint("task", "depends_on", name=op.f("pk_dependencies")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_dependencies_depends_on"), "dependencies", ["depends_on"])
    op.create_table(
        "events",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("task", _NUMBER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("from_status", sa.Text()),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_events_task")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_task"), "events", ["task"])
    op.create_table(
        "observations",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("task", _NUMBER, nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_observations_task")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_observations")),
    )
    op.create_index(op.f("ix_observations_task"), "observations", ["task"])
    op.create_table(
        "outputs",
        sa.Column("number", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("task", _NUMBER, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_outputs_task")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outputs")),
        sa.UniqueConstraint("path", name=op.f("uq_outputs_path")),
    )
    op.create_index(op.f("ix_outputs_task"), "outputs", ["task"])
    op.bulk_insert(
        sa.table("counters", sa.column("name", sa.Text()), sa.column("value", sa.BigInteger())),
        [{"name": "task", "value": 0}, {"name": "dependencies", "value": 0}],
    )
