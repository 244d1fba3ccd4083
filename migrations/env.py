"""Runs the migrations on the connection that `lambda_home.registry.database` hands over.

The caller has begun the transaction, so that a migration happens as a whole or not at all.
"""

from alembic import context

from lambda_home.registry.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
