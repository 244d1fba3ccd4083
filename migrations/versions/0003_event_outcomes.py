"""How an event ended, until that has been delivered; the tenant that it is for."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("tenant_id", sa.Text, nullable=False, server_default=""))
    op.add_column("events", sa.Column("deliveries", sa.Integer, nullable=False, server_default="0"))
    op.add_column("events", sa.Column("parcels", sa.Text, nullable=False, server_default=""))
    op.drop_index("events_due", "events")


def downgrade() -> None:
    op.create_index("events_due", "events", ["not_before"])
    with op.batch_alter_table("events") as table:
        table.drop_column("parcels")
        table.drop_column("deliveries")
        table.drop_column("tenant_id")
