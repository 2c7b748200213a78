"""The table of deliveries: notifications for targets, written with what they report.

In a table of its own, so that no prompt can take a message meant for a person. The target is a name: the sender looks
up what it stands for, its secrets too.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import JSON, Column, Index, Text
from sqlmodel import Field, SQLModel

from ocs.store.columns import UTCDateTime, choice


class DeliveryStatus(StrEnum):
    """It is to be sent (again), was sent, was given up (a dead letter), or was withdrawn by a person."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


class Delivery(SQLModel, table=True):
    """One notification for one target."""

    __tablename__ = "delivery"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_delivery_due", "status", "next_attempt_at"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    job_id: str = Field(max_length=64, index=True)
    run_id: UUID | None = Field(default=None, index=True)
    kind: str = Field(max_length=32)
    target: str = Field(sa_column=Column(Text, nullable=False))
    subject: str = Field(sa_column=Column(Text, nullable=False))
    body: str = Field(sa_column=Column(Text, nullable=False))
    images: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    # Two rows to one target with the same are the same message; only one of them is sent.
    dedup: str | None = Field(default=None, max_length=128, index=True)
    status: DeliveryStatus = Field(
        default=DeliveryStatus.PENDING,
        sa_column=Column(choice(DeliveryStatus, "delivery_status"), nullable=False),
    )
    # Counted when one begins. A sender writes only while this is still the number it began with.
    attempts: int = 0
    # Attempts before a person asked for a new round of them.
    attempts_before: int = 0
    parts: int = 0
    parts_sent: int = 0
    next_attempt_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    lease_until: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    last_error: str | None = Field(default=None, sa_column=Column(Text))
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    ended_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
