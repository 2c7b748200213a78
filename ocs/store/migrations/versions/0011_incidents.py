"""Incidents, the jobs that are watched for them, and when each job last succeeded"""

import sqlalchemy as sa
from alembic import op

from ocs.store.columns import UTCDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

OPEN = sa.text("closed_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("opened_at", UTCDateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("troubles", sa.JSON(), nullable=False),
        sa.Column("told_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("times_told", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("closed_at", UTCDateTime(timezone=True), nullable=True),
        sa.Column("closed_by", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_incident_open", "incident", ["job_id"], unique=True, postgresql_where=OPEN, sqlite_where=OPEN)
    op.create_index("ix_incident_closed", "incident", ["closed_at"])
    op.create_index("ix_incident_job_id", "incident", ["job_id"])
    op.create_table(
        "watched",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("since", UTCDateTime(timezone=True), nullable=False),
        sa.Column("deadlines_until", UTCDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.add_column("job_state", sa.Column("last_ok_at", UTCDateTime(timezone=True), nullable=True))
    op.execute(
        "UPDATE job_state SET last_ok_at = (SELECT MAX(run.finished_at) FROM run "
        "WHERE run.job_id = job_state.job_id AND run.status = 'ok')"
    )
    op.create_index("ix_run_finished_at", "run", ["finished_at"])
