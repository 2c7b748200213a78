"""The tables of the door for agents: who may use it, and what they have proposed."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import JSON, Column, Index, Text
from sqlmodel import Field, SQLModel

from ocs.rules.proposals import ProposalStatus
from ocs.store.columns import UTCDateTime, choice


class McpToken(SQLModel, table=True):
    """A caller's token, of which only the digest is known. A revoked one has no row."""

    __tablename__ = "mcp_token"  # pyright: ignore[reportAssignmentType]

    name: str = Field(primary_key=True, max_length=128)
    digest: str = Field(max_length=64)
    scopes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_by: str = Field(max_length=256)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))


class Proposal(SQLModel, table=True):
    """A job document that a caller would have, and what a person has decided on it."""

    __tablename__ = "proposal"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_proposal_status", "status", "created_at"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    project: str = Field(max_length=256)
    job_id: str = Field(max_length=64)
    document: str = Field(sa_column=Column(Text, nullable=False))
    # The job's file as it was then; None where there was none.
    base: str | None = Field(default=None, sa_column=Column(Text))
    why: str = Field(default="", sa_column=Column(Text, nullable=False))
    proposed_by: str = Field(max_length=256)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    status: ProposalStatus = Field(
        default=ProposalStatus.OPEN, sa_column=Column(choice(ProposalStatus, "proposal_status"), nullable=False)
    )
    decided_by: str | None = Field(default=None, max_length=256)
    decided_from: str | None = Field(default=None, max_length=64)
    decided_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
    reason: str = Field(default="", sa_column=Column(Text, nullable=False, server_default=""))
    # When an accepted one had become the job's file: what was cut off before can be taken up.
    written_at: datetime | None = Field(default=None, sa_column=Column(UTCDateTime()))
