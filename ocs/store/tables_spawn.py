"""The tables of spawn: what runs have started, and the tokens by which a run says which one it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, ForeignKey, Index, Uuid
from sqlmodel import Field, SQLModel

from ocs.store.columns import UTCDateTime


class Spawned(SQLModel, table=True):
    """A dispatch that a run has asked for; `id` is the dispatch's. A root run has one of each label, for good."""

    __tablename__ = "spawned"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("ix_spawned_root_label", "root_run", "label", unique=True),
        Index("ix_spawned_job_created", "root_job", "created_at"),
    )

    id: UUID = Field(primary_key=True)
    label: str = Field(max_length=128)
    # The job that is dispatched: the template of a task.
    job_id: str = Field(max_length=64)
    # The run that asked, and where its line of descent began: the first attempt of a run that nobody spawned.
    spawned_by: UUID = Field(index=True)
    root_run: UUID
    root_job: str = Field(max_length=64)
    # The jobs from the root's down to the one that asked.
    lineage: list[str] = Field(sa_column=Column(JSON, nullable=False))
    depth_left: int
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))


class RunToken(SQLModel, table=True):
    """What a run is known by while it runs, and what its job may start."""

    __tablename__ = "run_token"  # pyright: ignore[reportAssignmentType]

    run_id: UUID = Field(sa_column=Column(Uuid(), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True))
    token_hash: str = Field(max_length=64)
    # The job's spawn group, and whom it tells of its own runs.
    may: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    tells: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
