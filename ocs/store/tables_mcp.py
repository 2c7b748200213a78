"""The tables of the door for agents: who may use it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, Column
from sqlmodel import Field, SQLModel

from ocs.store.columns import UTCDateTime


class McpToken(SQLModel, table=True):
    """A caller's token, of which only the digest is known. A revoked one has no row."""

    __tablename__ = "mcp_token"  # pyright: ignore[reportAssignmentType]

    name: str = Field(primary_key=True, max_length=128)
    digest: str = Field(max_length=64)
    scopes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    created_by: str = Field(max_length=256)
    created_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
