"""Functions, their versions and accepted asynchronous events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "functions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("last_version", sa.Integer, nullable=False),
        sa.Column("reserved", sa.Integer),
        sa.UniqueConstraint("account", "region", "name", name="functions_by_name"),
    )
    op.create_table(
        "versions",
        sa.Column(
            "function_id",
            sa.Integer,
            sa.ForeignKey("functions.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("revision_id", sa.Text, nullable=False),
        sa.Column("run_key", sa.Text, nullable=False),
        sa.Column("code_key", sa.Text, nullable=False),
        sa.Column("code_sha256", sa.Text, nullable=False),
        sa.Column("code_size", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("busy", sa.Boolean, nullable=False),
        sa.Column("last_modified", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("function_id", "number"),
    )
    op.create_index("versions_by_code", "versions", ["code_key"])
    op.create_index("versions_busy", "versions", ["function_id"], sqlite_where=sa.text("busy = 1"))
    op.create_table(
        "retired_names",
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("last_version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account", "region", "name"),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("qualifier", sa.Text),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("client_context", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("accepted_at", sa.Float, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("throttles", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Float, nullable=False),
        sa.UniqueConstraint("request_id", name="events_by_request"),
    )
    op.create_index("events_due", "events", ["not_before"])
    op.create_index("events_age", "events", ["accepted_at"])


def downgrade() -> None:
    op.drop_table("events")
    op.drop_table("retired_names")
    op.drop_table("versions")
    op.drop_table("functions")
