"""The tables of messages: what was sent, and a receipt for everything that became of it with one of its readers.

How a message stands is nowhere written: it follows from a reader's receipts, so that one reader of a broadcast takes
nothing away from the others.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, Column, ForeignKey, Index, Text
from sqlmodel import Field, SQLModel

from ocs.rules.messages import Event, Kind, Priority
from ocs.store.columns import UTCDateTime, choice


class Message(SQLModel, table=True):
    """What somebody wants a reader, or all of them, to know."""

    __tablename__ = "message"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index("ix_message_recipient", "recipient", "created_at"),
        Index("ix_message_sender", "sender", "created_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    sender: str = Field(max_length=128)
    recipient: str = Field(max_length=128)
    kind: Kind = Field(sa_column=Column(choice(Kind, "message_kind"), nullable=False))
    priority: Priority = Field(sa_column=Column(choice(Priority, "message_priority"), nullable=False))
    subject: str = Field(sa_column=Column(Text, nullable=False))
    body: str = Field(sa_column=Column(Text, nullable=False))
    owner: str | None = Field(default=None, max_length=128)
    # `metadata` is SQLAlchemy's own name in a class.
    about: dict[str, Any] = Field(default_factory=dict, sa_column=Column("metadata", JSON, nullable=False))
    # Not a foreign key: an answer outlives its question.
    reply_to: UUID | None = Field(default=None, index=True)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    expires_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime(), index=True))
    # Until when all of its readers have to acknowledge it, who is told otherwise, and when that was looked at.
    ack_by: datetime | None = Field(default=None, sa_column=Column(UTCDateTime(), index=True))
    overdue_to: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    ack_settled_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))


class MessageReceipt(SQLModel, table=True):
    """What became of a message with one reader. `run_id` is the turn that was shown it, `actor` its writer."""

    __tablename__ = "message_receipt"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_message_receipt_reader", "message_id", "reader"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    message_id: UUID = Field(sa_column=Column(ForeignKey("message.id", ondelete="CASCADE"), nullable=False))
    reader: str = Field(max_length=128)
    event: Event = Field(sa_column=Column(choice(Event, "message_receipt_event"), nullable=False))
    at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    run_id: UUID | None = Field(default=None, index=True)
    actor: str | None = Field(default=None, max_length=128)
    detail: str | None = Field(default=None, sa_column=Column(Text))
    # After failed turns: not shown again before that.
    not_before: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
