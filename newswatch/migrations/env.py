"""Run by alembic: applies the steps over the connection that the storage hands in."""

from alembic import context

from newswatch.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
