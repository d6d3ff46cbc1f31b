"""Run by Alembic, with the connection whose transaction the migration is to be part of."""

from alembic import context

from scheduler.blackboard.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
