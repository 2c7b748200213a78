"""The tables of costs: prices of models, and what the turns of each run have used of each model."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column
from sqlmodel import Field, SQLModel

from ocs.store.columns import UTCDateTime


class PriceRow(SQLModel, table=True):
    """What a model takes for a million tokens of each sort, in micro-dollars."""

    __tablename__ = "price"  # pyright: ignore[reportAssignmentType]

    model: str = Field(primary_key=True, max_length=256)
    input: int = Field(sa_type=BigInteger)
    cached: int = Field(sa_type=BigInteger)
    stored: int = Field(sa_type=BigInteger)
    output: int = Field(sa_type=BigInteger)
    updated_by: str = Field(max_length=256)
    updated_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))


class ModelUse(SQLModel, table=True):
    """What one run has used of one model. It outlives the run's record, so that a month can be summed up."""

    __tablename__ = "model_use"  # pyright: ignore[reportAssignmentType]

    run_id: UUID = Field(primary_key=True)
    # Empty where the gateway did not say.
    model: str = Field(primary_key=True, max_length=256)
    job_id: str = Field(max_length=64, index=True)
    agent: str = Field(default="", max_length=128)
    # When the run began: all of its costs belong to that day.
    at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False, index=True))
    calls: int = 0
    input: int = Field(default=0, sa_type=BigInteger)
    cached: int = Field(default=0, sa_type=BigInteger)
    stored: int = Field(default=0, sa_type=BigInteger)
    output: int = Field(default=0, sa_type=BigInteger)
    # In micro-dollars, of the calls whose cost is known; `unpriced` counts the others.
    cost: int = Field(default=0, sa_type=BigInteger)
    unpriced: int = 0
