"""Prices of models, what runs have used of each, and what a run has cost in whole micro-dollars"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SORTS = ("input", "cached", "stored", "output")


def upgrade() -> None:
    op.create_table(
        "price",
        sa.Column("model", sa.String(length=256), primary_key=True),
        *(sa.Column(sort, sa.BigInteger(), nullable=False) for sort in SORTS),
        sa.Column("updated_by", sa.String(length=256), nullable=False),
        sa.Column("updated_at", UTCDateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "model_use",
        sa.Column("run_id", sa.Uuid(), primary_key=True),
        sa.Column("model", sa.String(length=256), primary_key=True),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=128), nullable=False),
        sa.Column("at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        *(sa.Column(sort, sa.BigInteger(), nullable=False) for sort in SORTS),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.Column("unpriced", sa.Integer(), nullable=False),
    )
    op.create_index("ix_model_use_job_id", "model_use", ["job_id"])
    op.create_index("ix_model_use_at", "model_use", ["at"])
    op.add_column("run", sa.Column("tokens_cached", sa.BigInteger(), nullable=True))
    op.add_column("run", sa.Column("cost", sa.BigInteger(), nullable=True))
    op.add_column("run", sa.Column("cost_at_least", sa.Boolean(), nullable=False, server_default=sa.false()))
    # 0 was what a price that nobody knew looked like.
    op.execute("UPDATE run SET cost = CAST(ROUND(cost_usd * 1000000) AS BIGINT) WHERE cost_usd > 0")
    op.drop_column("run", "cost_usd")
