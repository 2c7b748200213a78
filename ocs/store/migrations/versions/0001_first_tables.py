"""First tables"""

import sqlalchemy as sa
from alembic import op

import ocs.store.columns

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("source", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_event_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_job_id"), ["job_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_event_run_id"), ["run_id"], unique=False)

    op.create_table(
        "dispatch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "scheduled",
                "manual",
                "chain",
                "retry",
                "replay",
                "queued",
                name="dispatch_kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "pending",
                "waiting",
                "published",
                "done",
                "cancelled",
                name="dispatch_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("scheduled_for", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("replays", sa.Integer(), nullable=False),
        sa.Column("source_run", sa.Uuid(), nullable=True),
        sa.Column("retry_of", sa.Uuid(), nullable=True),
        sa.Column("parameters", sa.JSON(), nullable=True),
        sa.Column("flow_run_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("published_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=True),
        sa.Column("pool", sa.String(length=128), nullable=True),
        sa.Column(
            "waits_for",
            sa.Enum(
                "pool",
                "overlap",
                name="dispatch_waits_for",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("waiting_since", ocs.store.columns.UTCDateTime(timezone=True), nullable=True),
        sa.Column("released_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=True),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("dispatch", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dispatch_flow_run_id"), ["flow_run_id"], unique=False)
        batch_op.create_index(
            "ix_dispatch_open",
            ["job_id", "scheduled_for"],
            unique=False,
            postgresql_where=sa.text("status IN ('pending', 'waiting', 'published')"),
            sqlite_where=sa.text("status IN ('pending', 'waiting', 'published')"),
        )
        batch_op.create_index(batch_op.f("ix_dispatch_retry_of"), ["retry_of"], unique=False)
        batch_op.create_index(batch_op.f("ix_dispatch_source_run"), ["source_run"], unique=False)
        batch_op.create_index(batch_op.f("ix_dispatch_status"), ["status"], unique=False)

    op.create_table(
        "mark",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("at", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "pool",
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "job_state",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("last_run_id", sa.Uuid(), nullable=False),
        sa.Column(
            "last_status",
            sa.Enum(
                "running",
                "waiting_approval",
                "ok",
                "error",
                "timeout",
                "skipped",
                "crashed",
                "cancelled",
                name="job_last_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("last_finished_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("consecutive_errors", sa.Integer(), nullable=False),
        sa.Column("retired_version", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=128), nullable=True),
        sa.Column(
            "kind",
            sa.Enum(
                "scheduled",
                "manual",
                "chain",
                "retry",
                "replay",
                "queued",
                name="run_kind",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "status",
            sa.Enum(
                "running",
                "waiting_approval",
                "ok",
                "error",
                "timeout",
                "skipped",
                "crashed",
                "cancelled",
                name="run_status",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("replays", sa.Integer(), nullable=False),
        sa.Column("flow_run_id", sa.Uuid(), nullable=False),
        sa.Column("dispatch_id", sa.Uuid(), nullable=True),
        sa.Column("parent_run", sa.Uuid(), nullable=True),
        sa.Column("retry_of", sa.Uuid(), nullable=True),
        sa.Column("scheduled_for", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("started_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("finished_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=True),
        sa.Column("owner", sa.String(length=256), nullable=True),
        sa.Column("lease_until", ocs.store.columns.UTCDateTime(timezone=True), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("pid_started_at", sa.Float(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=32), nullable=True),
        sa.Column(
            "skip_reason",
            sa.Enum(
                "disabled",
                "withdrawn",
                "missed",
                "backoff",
                "overlap",
                "duplicate",
                "backlog",
                name="run_skip_reason",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("signal", sa.String(length=32), nullable=True),
        sa.Column("stdout", sa.Text(), nullable=False),
        sa.Column("stdout_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stdout_path", sa.Text(), nullable=True),
        sa.Column("stderr", sa.Text(), nullable=False),
        sa.Column("stderr_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stderr_path", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["dispatch_id"],
            ["dispatch.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_run_dispatch_id"), ["dispatch_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_flow_run_id"), ["flow_run_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_idempotency_key"), ["idempotency_key"], unique=False)
        batch_op.create_index("ix_run_job_started", ["job_id", "started_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_parent_run"), ["parent_run"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_retry_of"), ["retry_of"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_started_at"), ["started_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_status"), ["status"], unique=False)

    op.create_table(
        "idempotency_key",
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column(
            "status",
            sa.Enum("claimed", "released", name="key_status", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("claimed_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("released_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=True),
        sa.Column("expires_at", ocs.store.columns.UTCDateTime(timezone=True), nullable=False),
        sa.Column("result_hash", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("key"),
    )
    with op.batch_alter_table("idempotency_key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_key_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_idempotency_key_job_id"), ["job_id"], unique=False)
