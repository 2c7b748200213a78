"""What runs have started by themselves, and the tokens by which a run says which one it is"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "spawned",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("label", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("spawned_by", sa.Uuid(), nullable=False),
        sa.Column("root_run", sa.Uuid(), nullable=False),
        sa.Column("root_job", sa.String(length=64), nullable=False),
        sa.Column("lineage", sa.JSON(), nullable=False),
        sa.Column("depth_left", sa.Integer(), nullable=False),
        sa.Column("created_at", UTCDateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_spawned_root_label", "spawned", ["root_run", "label"], unique=True)
    op.create_index("ix_spawned_job_created", "spawned", ["root_job", "created_at"])
    op.create_index("ix_spawned_spawned_by", "spawned", ["spawned_by"])
    op.create_table(
        "run_token",
        sa.Column("run_id", sa.Uuid(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("may", sa.JSON(), nullable=False),
        sa.Column("tells", sa.JSON(), nullable=False),
    )
