"""Trackers, teams, agents, and acknowledgements that are required"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ENDS = ("pending", "running", "completed", "failed", "dead")


def upgrade() -> None:
    op.add_column("run", sa.Column("agent", sa.String(length=128), nullable=True))
    op.create_index("ix_run_agent", "run", ["agent"])
    op.add_column("message", sa.Column("ack_by", UTCDateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("overdue_to", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("message", sa.Column("ack_settled_at", UTCDateTime(timezone=True), nullable=True))
    op.create_index("ix_message_ack_by", "message", ["ack_by"])
    _trackers()
    op.create_table(
        "team_member",
        sa.Column("team", sa.String(length=128), primary_key=True),
        sa.Column("member", sa.String(length=128), primary_key=True),
    )
    op.create_index("ix_team_member_member", "team_member", ["member"])
    op.create_table(
        "agent",
        sa.Column("id", sa.String(length=128), primary_key=True),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("capabilities", sa.JSON(), nullable=False),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("updated_by", sa.String(length=256), nullable=False),
        sa.Column("updated_at", UTCDateTime(timezone=True), nullable=False),
    )


def _trackers() -> None:
    on = _choice("tracker_then_on", "success", "failure", "complete")
    status = _choice("tracker_status", "open", "completed", "failed", "closed")
    op.create_table(
        "tracker",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("team", sa.String(length=128), nullable=True),
        sa.Column("targets", sa.JSON(), nullable=False),
        sa.Column("then_job", sa.String(length=64), nullable=True),
        sa.Column("then_on", on, nullable=False),
        sa.Column("then_dispatch", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("status", status, nullable=False),
        sa.Column("ended_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("summary", sa.Text(), nullable=False),
    )
    op.create_index("ix_tracker_name", "tracker", ["name", "created_at"])
    for column in ("team", "then_dispatch", "ended_at"):
        op.create_index(f"ix_tracker_{column}", "tracker", [column])
    op.create_table(
        "tracker_member",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("tracker_id", sa.Uuid(), sa.ForeignKey("tracker.id", ondelete="CASCADE"), nullable=False),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=True, unique=True),
        sa.Column("heard_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("ended", _choice("tracker_member_ended", *ENDS), nullable=True),
        sa.Column("ended_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.UniqueConstraint("tracker_id", "label"),
    )
    op.create_index("ix_tracker_member_open", "tracker_member", ["tracker_id", "ended"])


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)
