"""A turn that was cut off is gone on with"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("cut_off", sa.Boolean(), nullable=False, server_default=sa.false()))
