"""An approval's messages have several targets"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("approval", sa.Column("targets", sa.JSON(), nullable=False, server_default="[]"))
    approval = sa.table("approval", sa.column("target", sa.String()), sa.column("targets", sa.JSON()))
    known = op.get_bind().execute(sa.select(approval.c.target).where(approval.c.target.is_not(None)).distinct())
    for target in known.scalars().all():
        op.execute(approval.update().where(approval.c.target == target).values(targets=[target]))
    with op.batch_alter_table("approval") as batch_op:
        batch_op.alter_column("targets", server_default=None)
        batch_op.drop_column("target")
