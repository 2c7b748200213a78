"""The table of tasks: a task is a dispatch with a name, and all that its attempts have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Index, Text
from sqlmodel import Field, SQLModel

from ocs.store.columns import UTCDateTime


class Task(SQLModel, table=True):
    """What somebody handed to an agent. `id` is that of its dispatch; its attempts are that dispatch's runs."""

    __tablename__ = "task"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_task_label", "label", "created_at"),)

    id: UUID = Field(primary_key=True)
    label: str = Field(max_length=128)
    template: str = Field(max_length=64, index=True)
    agent: str = Field(max_length=128)
    model: str | None = Field(default=None, max_length=256)
    # What was asked, for people; the dispatch's parameters are what runs.
    text: str = Field(sa_column=Column(Text, nullable=False))
    # What the keys of its conversations end in: its own id, or that of the task that it goes on with.
    conversation: UUID = Field(index=True)
    # A repetition of the same wish finds this task by it.
    key: str | None = Field(default=None, max_length=128, unique=True)
    created_by: str = Field(max_length=256)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False, index=True))
    report: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    reported_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
