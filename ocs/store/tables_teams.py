"""The tables of trackers, teams and agents: who works together, until when, and what is known of each."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import JSON, Column, ForeignKey, Index, Text, UniqueConstraint
from sqlmodel import Field, SQLModel

from ocs.rules.trackers import MemberStatus, ThenOn, TrackerStatus
from ocs.store.columns import UTCDateTime, choice


class Tracker(SQLModel, table=True):
    """A group of members; it ends with the last of them. Of those with one name one is open at a time."""

    __tablename__ = "tracker"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_tracker_name", "name", "created_at"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str = Field(max_length=64)
    # Whose gate it is.
    team: str | None = Field(default=None, max_length=128, index=True)
    targets: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    then_job: str | None = Field(default=None, max_length=64)
    then_on: ThenOn = Field(sa_column=Column(choice(ThenOn, "tracker_then_on"), nullable=False))
    # The dispatch of that job, once there is one.
    then_dispatch: UUID | None = Field(default=None, index=True)
    created_by: str = Field(max_length=256)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    deadline_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    status: TrackerStatus = Field(sa_column=Column(choice(TrackerStatus, "tracker_status"), nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime(), index=True))
    summary: str = Field(default="", sa_column=Column(Text, nullable=False))


class TrackerMember(SQLModel, table=True):
    """A member: a task, or somebody who sends heartbeats. `ended` is None until it has ended."""

    __tablename__ = "tracker_member"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (UniqueConstraint("tracker_id", "label"), Index("ix_tracker_member_open", "tracker_id", "ended"))

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    tracker_id: UUID = Field(sa_column=Column(ForeignKey("tracker.id", ondelete="CASCADE"), nullable=False))
    label: str = Field(max_length=128)
    # Not a foreign key: what a member said outlives its task's record.
    task_id: UUID | None = Field(default=None, unique=True)
    heard_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    ended: MemberStatus | None = Field(default=None, sa_column=Column(choice(MemberStatus, "tracker_member_ended")))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    # The last attempt of its task.
    run_id: UUID | None = Field(default=None)
    message: str = Field(default="", sa_column=Column(Text, nullable=False))


class TeamMember(SQLModel, table=True):
    """Who belongs to a team. A team is its members."""

    __tablename__ = "team_member"  # pyright: ignore[reportAssignmentType]

    team: str = Field(primary_key=True, max_length=128)
    member: str = Field(primary_key=True, max_length=128, index=True)


class AgentRow(SQLModel, table=True):
    """What people have said of an agent; what it does follows from its runs."""

    __tablename__ = "agent"  # pyright: ignore[reportAssignmentType]

    id: str = Field(primary_key=True, max_length=128)
    name: str = Field(default="", max_length=128)
    capabilities: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    # Who hears the results of its tasks, when a task does not say.
    targets: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    updated_by: str = Field(max_length=256)
    updated_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
