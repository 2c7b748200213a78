"""Agents: the conversation a run belonged to, and what a watchdog found"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("session_key", sa.Text(), nullable=True))
    op.add_column("run", sa.Column("finding", sa.String(length=32), nullable=True))
