"""A run that was skipped knows which run was in its way"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("in_its_way", sa.Uuid(), nullable=True))
