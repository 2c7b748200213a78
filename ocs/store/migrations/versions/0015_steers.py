"""What people say to a task's agent while it works"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

OUTCOMES = ("pending", "held", "sent", "read", "unsure", "unheard")


def upgrade() -> None:
    op.add_column("task", sa.Column("closed_by", sa.Uuid(), nullable=True))
    outcome = sa.Enum(*OUTCOMES, name="steer_outcome", native_enum=False, create_constraint=True, length=32)
    op.create_table(
        "steer",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("task_id", sa.Uuid(), sa.ForeignKey("task.id", ondelete="CASCADE"), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("at_once", sa.Boolean(), nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("outcome", outcome, nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("settled_at", UTCDateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_steer_task", "steer", ["task_id", "settled_at"])
