"""Records: runs, deliveries and approvals as whoever asks sees them. In JSON their keys are the fields' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from ocs.rules.dispatch import DispatchKind
from ocs.rules.wording import seconds, utc
from ocs.service import session

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ocs.store import Store
    from ocs.store.tables import Approval as ApprovalRow
    from ocs.store.tables import Run as RunRow
    from ocs.store.tables_delivery import Delivery as DeliveryRow


class Status(StrEnum):
    """How a run stands."""

    OK = "ok"
    ERROR = "error"
    TIMEOUT = "timeout"
    SKIPPED = "skipped"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    RUNNING = "running"
    WAITING_APPROVAL = "waiting_approval"
    RETRYING = "retrying"
    """It failed, and its next attempt is still to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A message about a run, on its way to one target."""

    id: UUID
    job: str
    run: UUID | None
    kind: str
    target: str
    subject: str
    status: str
    attempts: int
    parts: int
    parts_sent: int
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What ran, why, and how it ended."""

    id: UUID
    job: str
    status: Status
    kind: DispatchKind
    attempt: int
    scheduled_for: datetime
    started_at: datetime
    finished_at: datetime | None
    duration_s: float | None
    exit_code: int | None
    folder: str | None
    summary: str
    error: str | None
    notes: tuple[str, ...]
    flow_run_id: UUID
    retry_of: UUID | None
    parent_run: UUID | None
    children: tuple[UUID, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.status is Status.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A run that waits for a person's decision, or what was decided."""

    id: UUID
    job: str
    run: UUID
    status: str
    kind: DispatchKind
    what: str
    why: str
    changed: tuple[str, ...]
    spec_digest: str
    parent_run: UUID | None
    requested_at: datetime
    expires_at: datetime
    on_timeout: str
    decided_by: str | None
    decided_from: str | None
    decided_at: datetime | None
    reason: str | None
    flow_run_id: UUID
    ui_url: str | None


def as_json(record: DataclassInstance) -> dict[str, Any]:
    """A record as JSON has it: moments in UTC, ids as text."""
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


async def run_records(store: Store, runs: Sequence[RunRow]) -> list[Run]:
    """Runs with what followed them."""
    from ocs.store import deliveries, queries

    ids = [run.id for run in runs]
    children = await queries.children_by_run(store, ids)
    retrying = await queries.awaiting_retry(store, ids)
    told = await deliveries.of_runs(store, ids)
    return [_run(run, children, told.get(run.id, ()), retrying=run.id in retrying) for run in runs]


def delivery_record(row: DeliveryRow) -> Delivery:
    """A delivery; when it is tried next only where it is."""
    return Delivery(
        id=row.id,
        job=row.job_id,
        run=row.run_id,
        kind=row.kind,
        target=row.target,
        subject=row.subject,
        status=row.status,
        attempts=row.attempts,
        parts=row.parts,
        parts_sent=row.parts_sent,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at if row.status == "pending" else None,
        ended_at=row.ended_at,
        error=row.last_error,
    )


def approval_record(row: ApprovalRow) -> Approval:
    """A request for approval, and its page in the UI."""
    return Approval(
        id=row.id,
        job=row.job_id,
        run=row.run_id,
        status=row.status,
        kind=row.kind,
        what=row.what,
        why=row.why,
        changed=tuple(row.changed),
        spec_digest=row.spec_digest,
        parent_run=row.parent_run,
        requested_at=row.requested_at,
        expires_at=row.expires_at,
        on_timeout=row.on_timeout,
        decided_by=row.decided_by,
        decided_from=row.decided_from,
        decided_at=row.decided_at,
        reason=row.reason,
        flow_run_id=row.flow_run_id,
        ui_url=session.flow_run_link(row.flow_run_id),
    )


def _run(run: RunRow, children: Mapping[UUID, Sequence[UUID]], told: Sequence[DeliveryRow], *, retrying: bool) -> Run:
    return Run(
        id=run.id,
        job=run.job_id,
        status=Status.RETRYING if retrying else Status(run.status),
        kind=run.kind,
        attempt=run.attempt,
        scheduled_for=run.scheduled_for,
        started_at=run.started_at,
        finished_at=run.finished_at,
        duration_s=seconds(run.duration),
        exit_code=run.exit_code,
        folder=run.folder,
        summary=run.summary,
        error=run.error,
        notes=tuple(run.notes),
        flow_run_id=run.flow_run_id,
        retry_of=run.retry_of,
        parent_run=run.parent_run,
        children=tuple(children.get(run.id, ())),
        deliveries=tuple(map(delivery_record, told)),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if is_dataclass(value) and not isinstance(value, type):
        return as_json(value)
    if isinstance(value, datetime):
        return utc(value)
    return str(value) if isinstance(value, UUID | StrEnum) else value
