"""Alembic's way in: it loads this file by its path, so the imports here are absolute.

`epicycle.db.schema` passes an open connection, whose transaction stays the caller's. Without one alembic writes the SQL
of the dialect named on its command line (``--sql``).
"""

from alembic import context

from epicycle.db.models import Base

connection = context.config.attributes.get("connection")
if connection is None:
    context.configure(
        dialect_name=context.config.attributes.get("dialect", "sqlite"),
        target_metadata=Base.metadata,
        literal_binds=True,
        render_as_batch=True,
    )
else:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
