"""Task sources and what they were told, messages that are tried again, digests of what an agent has to do."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"

# SQLite counts rows by a column that is called INTEGER and nothing else.
_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds columns, each with a value for what is there already, and one table."""
    op.add_column("outbox", sa.Column("card", sa.Text()))
    op.add_column("outbox", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("outbox", sa.Column("next_try_at", sa.Double()))
    op.add_column("outbox", sa.Column("error", sa.Text(), nullable=False, server_default=""))
    op.add_column("agents", sa.Column("digest", sa.Text()))
    op.create_table(
        "mirrors",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("task", _NUMBER),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False),
        sa.Column("told_turns", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.Double()),
        sa.Column("handle", sa.Text()),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.Column("missing_since", sa.Double()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.Double()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["task"], ["tasks.number"], name=op.f("fk_mirrors_task")),
        sa.PrimaryKeyConstraint("source", "external_id", name=op.f("pk_mirrors")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_mirrors_task"), "mirrors", ["task"])
