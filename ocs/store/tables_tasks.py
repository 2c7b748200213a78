"""The tables of tasks: a dispatch with a name and all that its attempts have in common, and what people say to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, Column, ForeignKey, Index, Text
from sqlmodel import Field, SQLModel

from ocs.rules.steering import SteerOutcome
from ocs.store.columns import UTCDateTime, choice


class Task(SQLModel, table=True):
    """What somebody handed to an agent, or a run asked for.

    `id` is that of its dispatch; its attempts are that dispatch's runs.
    """

    __tablename__ = "task"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_task_label", "label", "created_at"),)

    id: UUID = Field(primary_key=True)
    label: str = Field(max_length=128)
    template: str = Field(max_length=64, index=True)
    # Empty where a command runs, and no agent.
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
    # The attempt that takes no more steers, because its result is about to be recorded.
    closed_by: UUID | None = Field(default=None)


class Steer(SQLModel, table=True):
    """What a person says to a task's agent. `run_id` is the attempt that was told it last, `told` how often one was."""

    __tablename__ = "steer"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_steer_task", "task_id", "settled_at"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    task_id: UUID = Field(sa_column=Column(ForeignKey("task.id", ondelete="CASCADE"), nullable=False))
    text: str = Field(sa_column=Column(Text, nullable=False))
    actor: str = Field(max_length=256)
    # The turn is ended for it.
    at_once: bool = Field(default=False)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    outcome: SteerOutcome = Field(
        default=SteerOutcome.PENDING, sa_column=Column(choice(SteerOutcome, "steer_outcome"), nullable=False)
    )
    told: int = Field(default=0)
    run_id: UUID | None = Field(default=None)
    settled_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
