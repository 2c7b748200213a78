"""A decision may come through any door"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint("approval_from", "approval", type_="check")
        return
    # SQLite drops a constraint with its table only, and not every SQLAlchemy finds the others that are in it.
    with op.batch_alter_table("approval", recreate="always", copy_from=_approval()) as batch_op:
        for column in ("job_id", "run_id", "status"):
            batch_op.create_index(batch_op.f(f"ix_approval_{column}"), [column], unique=False)


def _approval() -> sa.Table:
    """The table as it is after 0009, without what a decision's source had to be."""
    return sa.Table(
        "approval",
        sa.MetaData(),
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("dispatch_id", sa.Uuid(), nullable=True),
        sa.Column("flow_run_id", sa.Uuid(), nullable=False),
        sa.Column(
            "kind",
            _choice("approval_kind", "scheduled", "manual", "chain", "retry", "replay", "queued"),
            nullable=False,
        ),
        sa.Column("parent_run", sa.Uuid(), nullable=True),
        sa.Column("spec_digest", sa.String(length=32), nullable=False),
        sa.Column("deployed_digest", sa.String(length=32), nullable=True),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("changed", sa.JSON(), nullable=False),
        sa.Column("requested_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("timeout_s", sa.Float(), nullable=False),
        sa.Column("on_timeout", _choice("approval_on_timeout", "reject", "approve"), nullable=False),
        sa.Column("expires_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=False),
        sa.Column(
            "status",
            _choice("approval_status", "pending", "approved", "rejected", "timed_out", "withdrawn"),
            nullable=False,
        ),
        sa.Column("decided_by", sa.String(length=256), nullable=True),
        sa.Column("decided_from", sa.String(length=32), nullable=True),
        sa.Column("decided_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("targets", sa.JSON(), nullable=False),
    )


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
