"""Tasks, and what the agent of a run is doing"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "task",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("template", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=256), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("conversation", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=True, unique=True),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("reported_at", UTCDateTime(timezone=True), nullable=True),
    )
    op.create_index("ix_task_label", "task", ["label", "created_at"])
    for column in ("template", "conversation", "created_at"):
        op.create_index(f"ix_task_{column}", "task", [column])
    op.add_column("run", sa.Column("last_activity_at", UTCDateTime(timezone=True), nullable=True))
    op.add_column("run", sa.Column("doing", sa.String(length=256), nullable=True))
    op.add_column("run", sa.Column("tokens_in", sa.BigInteger(), nullable=True))
    op.add_column("run", sa.Column("tokens_out", sa.BigInteger(), nullable=True))
    op.add_column("run", sa.Column("cost_usd", sa.Float(), nullable=True))
