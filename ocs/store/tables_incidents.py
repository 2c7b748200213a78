"""The tables of incidents, and of the jobs that are watched for them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import JSON, Column, Index, Text, text
from sqlmodel import Field, SQLModel

from ocs.store.columns import UTCDateTime


class IncidentRow(SQLModel, table=True):
    """One time of trouble of a job; a job has one that is open at most."""

    __tablename__ = "incident"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "ix_incident_open",
            "job_id",
            unique=True,
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
        Index("ix_incident_closed", "closed_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    job_id: str = Field(max_length=64, index=True)
    opened_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    failures: int = 0
    # What was told of it, and when last; before that it is only counted.
    troubles: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    told_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    times_told: int = 0
    why: str = Field(default="", sa_column=Column(Text, nullable=False))
    closed_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    # The run that ended it; None when nobody watches the job any more.
    closed_by: UUID | None = None


class Watched(SQLModel, table=True):
    """A job that is watched, from when it counts, and up to which its deadlines were looked at."""

    __tablename__ = "watched"  # pyright: ignore[reportAssignmentType]

    job_id: str = Field(primary_key=True, max_length=64)
    since: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    deadlines_until: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
