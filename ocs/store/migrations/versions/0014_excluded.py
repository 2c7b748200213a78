"""A run knows what else people should know of it, and a day that a schedule leaves out is a reason of its own"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

REASONS = ("disabled", "excluded", "withdrawn", "missed", "backoff", "overlap", "duplicate", "backlog")


def upgrade() -> None:
    op.add_column("run", sa.Column("notes", sa.JSON(), nullable=False, server_default="[]"))
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _anew(connection)
    else:
        op.drop_constraint("run_skip_reason", "run", type_="check")
        op.create_check_constraint("run_skip_reason", "run", sa.column("skip_reason").in_(REASONS))


def _anew(connection: sa.Connection) -> None:
    """SQLite changes a constraint with its table only: the same is made anew, whatever columns it has by now."""
    found = sa.text("SELECT type, sql FROM sqlite_master WHERE tbl_name = 'run' AND sql IS NOT NULL")
    made = connection.execute(found).all()
    (table,) = [sql for kind, sql in made if kind == "table"]
    with_reason = table.replace("'disabled'", "'disabled', 'excluded'")
    connection.exec_driver_sql(re.sub(r'^CREATE TABLE "?run"?', "CREATE TABLE run_anew", with_reason, count=1))
    connection.exec_driver_sql("INSERT INTO run_anew SELECT * FROM run")
    connection.exec_driver_sql("DROP TABLE run")
    connection.exec_driver_sql("ALTER TABLE run_anew RENAME TO run")
    for index in (sql for kind, sql in made if kind == "index"):
        connection.exec_driver_sql(index)
