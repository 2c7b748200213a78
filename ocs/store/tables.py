"""The tables: runs, the idempotency ledger, the outbox of dispatches, approvals, each job's state, the audit trail.

History has no foreign key to a job: it survives the job.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, Text, text
from sqlmodel import Field, SQLModel

from ocs.rules.approval import ApprovalStatus, OnTimeout
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.guards import SkipReason, WaitsFor
from ocs.store.columns import UTCDateTime, choice


class KeyStatus(StrEnum):
    """Whether a key blocks its scope."""

    CLAIMED = "claimed"
    RELEASED = "released"


class DispatchStatus(StrEnum):
    """What became of a dispatch: it is written, queued, published, has become a run, or was withdrawn."""

    PENDING = "pending"
    QUEUED = "waiting"
    PUBLISHED = "published"
    DONE = "done"
    CANCELLED = "cancelled"


def _instant(*, null: bool = True, index: bool = False) -> Any:
    """A fresh column for an instant; a Column object belongs to one table only."""
    return Field(default=None, sa_column=Column(UTCDateTime(), nullable=null, index=index))


class Run(SQLModel, table=True):
    """One attempt to run a job, or the record of why it did not run."""

    __tablename__ = "run"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (Index("ix_run_job_started", "job_id", "started_at"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    job_id: str = Field(max_length=64)
    pool: str | None = Field(default=None, max_length=128)
    kind: DispatchKind = Field(sa_column=Column(choice(DispatchKind, "run_kind"), nullable=False))
    status: RunStatus = Field(sa_column=Column(choice(RunStatus, "run_status"), nullable=False, index=True))
    attempt: int = 1
    replays: int = 0
    flow_run_id: UUID = Field(index=True)
    dispatch_id: UUID | None = Field(default=None, foreign_key="dispatch.id", index=True)
    parent_run: UUID | None = Field(default=None, index=True)
    retry_of: UUID | None = Field(default=None, index=True)
    scheduled_for: datetime = _instant(null=False)
    started_at: datetime = _instant(null=False, index=True)
    finished_at: datetime | None = _instant(index=True)
    owner: str | None = Field(default=None, max_length=256)
    lease_until: datetime | None = _instant()
    pid: int | None = None
    pid_started_at: float | None = None
    # Not unique: a released key may be claimed by a further run.
    idempotency_key: str | None = Field(default=None, max_length=32, index=True)
    skip_reason: SkipReason | None = Field(default=None, sa_column=Column(choice(SkipReason, "run_skip_reason")))
    # The run of the same job that executed when this one was skipped.
    in_its_way: UUID | None = None
    summary: str = Field(default="", sa_column=Column(Text, nullable=False))
    error: str | None = Field(default=None, sa_column=Column(Text))
    # Where its command started.
    folder: str | None = Field(default=None, sa_column=Column(Text))
    exit_code: int | None = None
    signal: str | None = Field(default=None, max_length=32)
    stdout: str = Field(default="", sa_column=Column(Text, nullable=False))
    stdout_bytes: int = Field(default=0, sa_type=BigInteger)
    stdout_path: str | None = Field(default=None, sa_column=Column(Text))
    stderr: str = Field(default="", sa_column=Column(Text, nullable=False))
    stderr_bytes: int = Field(default=0, sa_type=BigInteger)
    stderr_path: str | None = Field(default=None, sa_column=Column(Text))
    # Whose turn it is or was, and in which conversation.
    agent: str | None = Field(default=None, max_length=128, index=True)
    session_key: str | None = Field(default=None, sa_column=Column(Text))
    # What its agent does now, or did last, and what its model calls have used so far.
    last_activity_at: datetime | None = _instant()
    doing: str | None = Field(default=None, max_length=256)
    tokens_in: int | None = Field(default=None, sa_type=BigInteger)
    tokens_out: int | None = Field(default=None, sa_type=BigInteger)
    # Of the tokens that were read, those that came from the provider's cache.
    tokens_cached: int | None = Field(default=None, sa_type=BigInteger)
    # In micro-dollars, None when nothing is known of it; `cost_at_least` when something of it is not.
    cost: int | None = Field(default=None, sa_type=BigInteger)
    cost_at_least: bool = False
    # The gateway may go on with its turn by itself: it was lost in the middle of it.
    cut_off: bool = False
    # The model that its turn asked for (none is the agent's own), and whether the turn failed by it.
    model: str | None = Field(default=None, max_length=256)
    model_failed: bool = False
    finding: str | None = Field(default=None, max_length=32)
    # What else a person should know, however it ended.
    notes: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))

    @property
    def duration(self) -> timedelta | None:
        """None while it runs, and where its worker died: known is when that was found, not when it was."""
        if self.finished_at is None or self.status is RunStatus.CRASHED:
            return None
        return self.finished_at - self.started_at


class IdempotencyKey(SQLModel, table=True):
    """What must run once, and the run that claimed it."""

    __tablename__ = "idempotency_key"  # pyright: ignore[reportAssignmentType]

    key: str = Field(primary_key=True, max_length=32)
    job_id: str = Field(max_length=64, index=True)
    # Not a foreign key: the key outlives the run's record.
    run_id: UUID
    status: KeyStatus = Field(sa_column=Column(choice(KeyStatus, "key_status"), nullable=False))
    claimed_at: datetime = _instant(null=False)
    released_at: datetime | None = _instant()
    expires_at: datetime = _instant(null=False, index=True)
    result_hash: str | None = Field(default=None, max_length=16)


class DispatchRow(SQLModel, table=True):
    """The outbox: a dispatch, written with what caused it."""

    __tablename__ = "dispatch"  # pyright: ignore[reportAssignmentType]
    __table_args__ = (
        Index(
            "ix_dispatch_open",
            "job_id",
            "scheduled_for",
            postgresql_where=text("status IN ('pending', 'waiting', 'published')"),
            sqlite_where=text("status IN ('pending', 'waiting', 'published')"),
        ),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    job_id: str = Field(max_length=64)
    kind: DispatchKind = Field(sa_column=Column(choice(DispatchKind, "dispatch_kind"), nullable=False))
    status: DispatchStatus = Field(
        default=DispatchStatus.PENDING,
        sa_column=Column(choice(DispatchStatus, "dispatch_status"), nullable=False, index=True),
    )
    scheduled_for: datetime = _instant(null=False)
    attempt: int = 1
    replays: int = 0
    source_run: UUID | None = Field(default=None, index=True)
    retry_of: UUID | None = Field(default=None, index=True)
    parameters: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    flow_run_id: UUID | None = Field(default=None, index=True)
    created_at: datetime = _instant(null=False)
    published_at: datetime | None = _instant()
    pool: str | None = Field(default=None, max_length=128)
    waits_for: WaitsFor | None = Field(default=None, sa_column=Column(choice(WaitsFor, "dispatch_waits_for")))
    waiting_since: datetime | None = _instant()
    released_at: datetime | None = _instant()
    # How often it was released or published again: each time it gets a flow run of its own.
    publication: int = Field(default=0, sa_column=Column("turn", Integer, nullable=False))


class Pool(SQLModel, table=True):
    """How many runs of all its jobs together may execute at the same time."""

    __tablename__ = "pool"  # pyright: ignore[reportAssignmentType]

    name: str = Field(primary_key=True, max_length=128)
    slots: int


class JobState(SQLModel, table=True):
    """What guards ask of a job's past."""

    __tablename__ = "job_state"  # pyright: ignore[reportAssignmentType]

    job_id: str = Field(primary_key=True, max_length=64)
    last_run_id: UUID
    last_status: RunStatus = Field(sa_column=Column(choice(RunStatus, "job_last_status"), nullable=False))
    last_finished_at: datetime = _instant(null=False)
    consecutive_errors: int = 0
    last_ok_at: datetime | None = _instant()
    # What was rolled out when its lifecycle removed it: a rollout does not bring the same back.
    retired_version: str | None = Field(default=None, max_length=64)


class Mark(SQLModel, table=True):
    """Up to which instant periodic work is done, or since when a worker drains."""

    __tablename__ = "mark"  # pyright: ignore[reportAssignmentType]

    name: str = Field(primary_key=True, max_length=64)
    at: datetime = _instant(null=False)


class Approval(SQLModel, table=True):
    """What a person was asked to approve, and the decision. It outlives the run's record."""

    __tablename__ = "approval"  # pyright: ignore[reportAssignmentType]

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    job_id: str = Field(max_length=64, index=True)
    run_id: UUID = Field(index=True)
    dispatch_id: UUID | None = None
    flow_run_id: UUID
    kind: DispatchKind = Field(sa_column=Column(choice(DispatchKind, "approval_kind"), nullable=False))
    parent_run: UUID | None = None
    # What the person approves, and the same of the job as it was rolled out then: an edit shows in it.
    spec_digest: str = Field(max_length=32)
    deployed_digest: str | None = Field(default=None, max_length=32)
    what: str = Field(sa_column=Column(Text, nullable=False))
    why: str = Field(sa_column=Column(Text, nullable=False))
    changed: list[str] = Field(sa_column=Column(JSON, nullable=False))
    targets: list[str] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    requested_at: datetime = _instant(null=False)
    timeout_s: float
    on_timeout: OnTimeout = Field(sa_column=Column(choice(OnTimeout, "approval_on_timeout"), nullable=False))
    expires_at: datetime = _instant(null=False)
    # Each request has a form of its own in Prefect.
    asked: int = 1
    status: ApprovalStatus = Field(
        default=ApprovalStatus.PENDING,
        sa_column=Column(choice(ApprovalStatus, "approval_status"), nullable=False, index=True),
    )
    decided_by: str | None = Field(default=None, max_length=256)
    decided_from: str | None = Field(default=None, max_length=32)
    decided_at: datetime | None = _instant()
    reason: str | None = Field(default=None, sa_column=Column(Text))
    # It was asked because of what the run may cost.
    over_budget: bool = False


class AuditEvent(SQLModel, table=True):
    """Who did what, from where. Rows are only ever added."""

    __tablename__ = "audit_event"  # pyright: ignore[reportAssignmentType]

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    at: datetime = _instant(null=False, index=True)
    actor: str = Field(max_length=256)
    source: str = Field(max_length=32)
    action: str = Field(max_length=64)
    job_id: str | None = Field(default=None, max_length=64, index=True)
    run_id: UUID | None = Field(default=None, index=True)
    before: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    after: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
