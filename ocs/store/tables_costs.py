"""The tables of costs: prices of models, what runs have used of each, budgets, and what runs hold of them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, ForeignKey
from sqlmodel import Field, SQLModel

from ocs.rules.budgets import Action, Per, Scope
from ocs.store.columns import UTCDateTime, choice


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


class BudgetRow(SQLModel, table=True):
    """What may be spent in a day or a month, in micro-dollars."""

    __tablename__ = "budget"  # pyright: ignore[reportAssignmentType]

    name: str = Field(primary_key=True, max_length=160)
    scope: Scope = Field(sa_column=Column(choice(Scope, "budget_scope"), nullable=False))
    # A job or an agent, empty for everything.
    subject: str = Field(max_length=128, index=True)
    per: Per = Field(sa_column=Column(choice(Per, "budget_per"), nullable=False))
    limit: int = Field(sa_type=BigInteger)
    action: Action = Field(sa_column=Column(choice(Action, "budget_action"), nullable=False))
    updated_by: str = Field(max_length=256)
    updated_at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))


class Reservation(SQLModel, table=True):
    """What a run that has not ended holds, in micro-dollars, and how much of it is spent."""

    __tablename__ = "reservation"  # pyright: ignore[reportAssignmentType]

    run_id: UUID = Field(sa_column=Column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True))
    job_id: str = Field(max_length=64)
    agent: str = Field(max_length=128)
    at: datetime = Field(sa_column=Column(UTCDateTime(), nullable=False))
    amount: int = Field(sa_type=BigInteger)
    # The job's own cap, which nothing extends.
    is_cap: bool = False
    spent: int = Field(default=0, sa_type=BigInteger)
