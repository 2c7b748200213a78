"""The three values that travel through a run: Dispatch, DispatchContext, DispatchResult."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from ocs.rules.costs import Use


class DispatchKind(StrEnum):
    """Why a run exists."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"
    CHAIN = "chain"
    RETRY = "retry"
    REPLAY = "replay"
    QUEUED = "queued"


class RunStatus(StrEnum):
    """Where a run stands. All but RUNNING and WAITING_APPROVAL are final."""

    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"
    CRASHED = "crashed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self not in (RunStatus.RUNNING, RunStatus.WAITING_APPROVAL)


class IdempotencyAction(StrEnum):
    """What becomes of the run's idempotency key when it ends.

    KEEP stores the result's hash, RELEASE frees the key, NOOP leaves it claimed.
    """

    KEEP = "keep"
    RELEASE = "release"
    NOOP = "noop"


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One request to run a job once.

    `id` is the store's dispatch row, or None when Prefect's scheduler or its UI made the run.
    `scheduled_for` is the instant it was meant for (UTC). `source_run` is the run that caused it,
    `retry_of` the failed run this is a further attempt of. `attempt` counts from 1, `replays` how often it was
    begun again because its worker had died.
    """

    kind: DispatchKind
    scheduled_for: datetime
    id: UUID | None = None
    source_run: UUID | None = None
    retry_of: UUID | None = None
    attempt: int = 1
    replays: int = 0


@dataclass(frozen=True, slots=True)
class DispatchContext:
    """What prepare hands on: the claimed run and everything resolved for it."""

    run_id: UUID
    job_id: str
    flow_run_id: UUID
    dispatch: Dispatch
    idempotency_key: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class StreamOutput:
    """One captured stream: `text` as stored, `bytes` of all that was said, `path` of the whole when it was offloaded.

    `dropped` are the bytes in its middle that the whole lacks.
    """

    text: str = ""
    bytes: int = 0
    path: str | None = None
    dropped: int = 0

    @property
    def extent(self) -> str:
        """How much of it the file at `path` has."""
        lacks = f"all but {self.dropped:,} of " if self.dropped else ""
        return f"{lacks}{self.bytes:,} bytes"


@dataclass(frozen=True, slots=True)
class DispatchResult:
    """What a strategy returns. It raises for no failure of a job.

    `summary` is stored, `content` is the delivery text and what children's `match` looks at, `error` is
    one sentence for people. The skip flags suppress that step of finalize.

    `delivery_override` is the notification's exact text; `delivery_targets` hear of it in the place of `deliver`.
    `retry_in` asks for the same attempt once more after that time, because nothing of it was done; `retryable` is
    False when a further attempt would end the same way. `retire_job` says that the job has served its purpose.
    `notes` are sentences on what else a person should know, however it ended.
    `folder` is where its command started, `session_key` the agent's conversation, `finding` what a watchdog found.
    `cut_off` says that the turn may go on without us: the connection to the gateway broke, and it did not come back.
    `model_failed` says that it failed by the agent's model, so that another one may do it.
    `used` is what its model calls have used, of each model.
    `declined` says that a person decided against the run: it never ran, and its failure children follow.
    """

    status: RunStatus
    summary: str = ""
    content: str = ""
    error: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    stdout: StreamOutput = field(default_factory=StreamOutput)
    stderr: StreamOutput = field(default_factory=StreamOutput)
    delivery_override: str | None = None
    delivery_targets: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    skip_delivery: bool = False
    skip_children: bool = False
    declined: bool = False
    idempotency_action: IdempotencyAction = IdempotencyAction.NOOP
    retry_in: timedelta | None = None
    retryable: bool = True
    retire_job: bool = False
    folder: str | None = None
    session_key: str | None = None
    cut_off: bool = False
    model_failed: bool = False
    finding: str | None = None
    notes: tuple[str, ...] = ()
    used: tuple[Use, ...] = ()

    @property
    def ended_as(self) -> RunStatus:
        """How it ended for its children: a run that a person declined counts as a failure."""
        return RunStatus.ERROR if self.declined else self.status
