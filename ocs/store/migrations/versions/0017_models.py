"""Which model an attempt asked for, and whether its turn failed by it"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("model", sa.String(length=256), nullable=True))
    op.add_column("run", sa.Column("model_failed", sa.Boolean(), nullable=False, server_default=sa.false()))
