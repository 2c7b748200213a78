"""Budgets, what runs hold of them, a reason of its own to skip a run, and approvals of costs"""

import re

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

REASONS = ("disabled", "excluded", "withdrawn", "missed", "backoff", "overlap", "duplicate", "backlog", "budget")


def upgrade() -> None:
    op.create_table(
        "budget",
        sa.Column("name", sa.String(length=160), primary_key=True),
        sa.Column("scope", _choice("budget_scope", "job", "agent", "project"), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("per", _choice("budget_per", "day", "month"), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("action", _choice("budget_action", "stop", "ask", "warn"), nullable=False),
        sa.Column("updated_by", sa.String(length=256), nullable=False),
        sa.Column("updated_at", UTCDateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_budget_subject", "budget", ["subject"])
    op.add_column("approval", sa.Column("over_budget", sa.Boolean(), nullable=False, server_default=sa.false()))
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _anew(connection)
    else:
        op.drop_constraint("run_skip_reason", "run", type_="check")
        op.create_check_constraint("run_skip_reason", "run", sa.column("skip_reason").in_(REASONS))
    op.create_table(
        "reservation",
        sa.Column("run_id", sa.Uuid(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("agent", sa.String(length=128), nullable=False),
        sa.Column("at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("is_cap", sa.Boolean(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
    )


def _choice(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=32)


def _anew(connection: sa.Connection) -> None:
    """SQLite changes a constraint with its table only: the same is made anew, whatever columns it has by now.

    What hangs on runs goes with the old table, and is put back.
    """
    found = sa.text("SELECT type, sql FROM sqlite_master WHERE tbl_name = 'run' AND sql IS NOT NULL")
    made = connection.execute(found).all()
    (table,) = [sql for kind, sql in made if kind == "table"]
    with_reason = table.replace("'backlog'", "'backlog', 'budget'")
    connection.exec_driver_sql(re.sub(r'^CREATE TABLE "?run"?', "CREATE TABLE run_anew", with_reason, count=1))
    connection.exec_driver_sql("INSERT INTO run_anew SELECT * FROM run")
    connection.exec_driver_sql("CREATE TEMP TABLE token_kept AS SELECT * FROM run_token")
    connection.exec_driver_sql("DROP TABLE run")
    connection.exec_driver_sql("ALTER TABLE run_anew RENAME TO run")
    for index in (sql for kind, sql in made if kind == "index"):
        connection.exec_driver_sql(index)
    connection.exec_driver_sql("INSERT OR IGNORE INTO run_token SELECT * FROM token_kept")
    connection.exec_driver_sql("DROP TABLE token_kept")
