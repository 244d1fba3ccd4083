"""The tables of the registry, as SQLAlchemy Core describes them.

`migrations/` brings a file to this shape; a test compares the two. A function is one row with the
settings that belong to no version; each version, `$LATEST` included, is a row of its own: columns
for what is asked for, `settings` (JSON) for the rest.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA = "0004"
"""The newest revision in `migrations/versions`."""

METADATA = MetaData()

FUNCTIONS = Table(
    "functions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("last_version", Integer, nullable=False),
    Column("reserved", Integer),
    UniqueConstraint("account", "region", "name", name="functions_by_name"),
)

VERSIONS = Table(
    "versions",
    METADATA,
    Column("function_id", Integer, ForeignKey("functions.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("revision_id", Text, nullable=False),
    Column("run_key", Text, nullable=False),
    Column("code_key", Text, nullable=False),
    Column("code_sha256", Text, nullable=False),
    Column("code_size", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("busy", Boolean, nullable=False),
    Column("last_modified", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("settings", Text, nullable=False),
    PrimaryKeyConstraint("function_id", "number"),
    Index("versions_by_code", "code_key"),
    Index("versions_busy", "function_id", sqlite_where=text("busy = 1")),
)
"""`number` is 0 for `$LATEST`; `fingerprint` says what was published, see `rows.fingerprint`."""

RETIRED = Table(
    "retired_names",
    METADATA,
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("last_version", Integer, nullable=False),
    PrimaryKeyConstraint("account", "region", "name"),
)
"""Deleted functions that had versions: a number is not reused even if the name comes back."""

CONFIGS = Table(
    "configs",
    METADATA,
    Column("function_id", Integer, ForeignKey("functions.id", ondelete="CASCADE"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("qualifier", Text, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("function_id", "kind", "qualifier"),
)
"""See `configs`: a JSON document for each thing that is configured beside the versions."""

EVENTS = Table(
    "events",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("qualifier", Text),
    Column("payload", LargeBinary, nullable=False),
    Column("client_context", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("accepted_at", Float, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("throttles", Integer, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("tenant_id", Text, nullable=False, server_default=""),
    Column("deliveries", Integer, nullable=False, server_default="0"),
    Column("parcels", Text, nullable=False, server_default=""),
    UniqueConstraint("request_id", name="events_by_request"),
    Index("events_age", "accepted_at"),
)
"""Asynchronous invokes that were accepted and are not done.

`parcels` is empty until the last try has ended; then it says what is to be delivered.
"""

RESOURCES = Table(
    "resources",
    METADATA,
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("account", "region", "kind", "name"),
)
"""See `resources`: a JSON document for each thing of an account that belongs to no function."""

LAYERS = Table(
    "layers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("account", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("last_version", Integer, nullable=False),
    UniqueConstraint("account", "region", "name", name="layers_by_name"),
)
"""A layer stays after its last version is deleted: no number is used twice."""

LAYER_VERSIONS = Table(
    "layer_versions",
    METADATA,
    Column("layer_id", Integer, ForeignKey("layers.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("code_key", Text, nullable=False),
    Column("code_sha256", Text, nullable=False),
    Column("code_size", Integer, nullable=False),
    Column("document", Text, nullable=False),
    PrimaryKeyConstraint("layer_id", "number"),
)
"""`document` (JSON) has what was published beside the ZIP, and the version's policy."""
