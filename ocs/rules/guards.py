"""Guards: may this dispatch run now? Asked inside the claim transaction, so a guard sees what it changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from ocs.rules import approval, cooldown, misfire
from ocs.rules.approval import ApprovalStatus, Recorded
from ocs.rules.budgets import Action, Fits, Over
from ocs.rules.dispatch import Dispatch, DispatchKind
from ocs.rules.left_out import why_left_out

if TYPE_CHECKING:
    from ocs.rules.misfire import Newer
    from ocs.spec import Job


class SkipReason(StrEnum):
    """Which guard stood against a run."""

    DISABLED = "disabled"
    EXCLUDED = "excluded"
    """The schedule leaves out that day."""
    WITHDRAWN = "withdrawn"
    MISSED = "missed"
    BACKOFF = "backoff"
    OVERLAP = "overlap"
    DUPLICATE = "duplicate"
    BACKLOG = "backlog"
    BUDGET = "budget"
    """What it may cost does not fit."""


class WaitsFor(StrEnum):
    """What a dispatch waits for that may not run yet."""

    POOL = "pool"
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class Proceed:
    """Nothing stands against it."""


@dataclass(frozen=True, slots=True)
class Skip:
    """It does not run. `why` is a sentence that people read in the UI, `in_its_way` the run it names."""

    reason: SkipReason
    why: str
    in_its_way: UUID | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """It runs later: as soon as what it waits for is free."""

    waits_for: WaitsFor
    why: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A person has to agree first. `over` says why what it may cost does not fit, where that is the reason."""

    why: str
    over: str | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """A person has decided against it, or nobody decided in time. `why` says who and for what reason."""

    why: str


@dataclass(frozen=True, slots=True)
class Forbid:
    """It may not run as it is, even with an approval. `why` says what is wrong with it."""

    why: str


Verdict = Proceed | Skip | Wait | Ask | Refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the store knows at the moment of the claim.

    `running` counts the job's runs that have not ended, and dispatches that were released before this one; `in_the_way`
    is one of the former. `pool_free` is how many slots the job's pool has for this dispatch, `queued` how many other
    dispatches of the job are open, `has_waited` says that this one was queued or asked about before. `key_claimed` says
    that a run has claimed the dispatch's key, or waits for approval with it; `withdrawn` that its dispatch was
    cancelled meanwhile, `become_a_run` that another flow run was made for the same dispatch and came first.
    `newer` is an occurrence of the job that is newer than this one and was claimed before it. `unknown` says why nobody
    can tell whether it ran already.
    `costs` says whether what it may cost fits.
    `asked` is what a person was asked for this run before, `pending_approvals` how many others of the job wait.
    """

    running: int = 0
    in_the_way: UUID | None = None
    pool_free: int = 1
    queued: int = 0
    has_waited: bool = False
    key_claimed: bool = False
    withdrawn: bool = False
    become_a_run: bool = False
    newer: Newer | None = None
    unknown: str | None = None
    asked: Recorded | None = None
    pending_approvals: int = 0
    consecutive_errors: int = 0
    last_finished_at: datetime | None = None
    costs: Fits | Over = field(default_factory=Fits)


Objection = Skip | Wait | Ask | Refuse
Guard: TypeAlias = "Callable[[Job, Dispatch, Snapshot, datetime], Objection | None]"


def decide(job: Job, dispatch: Dispatch, snapshot: Snapshot, now: datetime) -> Verdict:
    """Ask the guards in their order; the first that objects decides.

    What would have to wait behind `limits.max_queued` others is skipped, unless it takes their place.
    """
    objection = next((objection for guard in GUARDS if (objection := guard(job, dispatch, snapshot, now))), None)
    if isinstance(objection, Wait) and snapshot.queued >= job.limits.max_queued and not _replaces(job, snapshot):
        why = f"{snapshot.queued} runs of the job wait already, and limits.max_queued is {job.limits.max_queued}."
        return Skip(SkipReason.BACKLOG, why)
    return objection or Proceed()


def _withdrawn(_job: Job, _dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | None:
    if not snapshot.withdrawn:
        return None
    return Skip(SkipReason.WITHDRAWN, "Its dispatch was cancelled before it started.")


def _claimable(_job: Job, _dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | None:
    """Before the guards that queue: a dispatch that is done must not be queued again."""
    if not snapshot.become_a_run:
        return None
    return Skip(SkipReason.DUPLICATE, "Its dispatch already had its run; nothing runs twice.")


def _known(_job: Job, _dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | None:
    """After a restore. What is known to have run says so itself."""
    return Skip(SkipReason.MISSED, snapshot.unknown) if snapshot.unknown and not snapshot.key_claimed else None


def _enabled(job: Job, dispatch: Dispatch, _snapshot: Snapshot, _now: datetime) -> Skip | None:
    """A disabled job runs only by hand."""
    if job.enabled or dispatch.kind is DispatchKind.MANUAL:
        return None
    return Skip(SkipReason.DISABLED, "The job is disabled; only manual runs start.")


def _on_time(job: Job, dispatch: Dispatch, snapshot: Snapshot, now: datetime) -> Skip | None:
    if dispatch.kind is not DispatchKind.SCHEDULED or job.schedule is None or snapshot.has_waited:
        return None
    why = misfire.missed(job.schedule, dispatch.scheduled_for, now, snapshot.newer)
    return Skip(SkipReason.MISSED, why) if why else None


def _not_left_out(job: Job, dispatch: Dispatch, _snapshot: Snapshot, _now: datetime) -> Skip | None:
    """Prefect cannot leave out days, and makes runs for them."""
    if dispatch.kind is not DispatchKind.SCHEDULED or job.schedule is None:
        return None
    why = why_left_out(job.schedule, dispatch.scheduled_for)
    return Skip(SkipReason.EXCLUDED, why) if why else None


def _not_backing_off(job: Job, dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | None:
    """Only recurring schedules back off: a one-shot has no next chance."""
    recurring = job.schedule is not None and job.schedule.at is None
    if dispatch.kind is not DispatchKind.SCHEDULED or not job.backoff or not recurring or snapshot.has_waited:
        return None
    until = cooldown.paused_until(snapshot.consecutive_errors, snapshot.last_finished_at)
    if until is None or dispatch.scheduled_for >= until:
        return None
    return Skip(
        SkipReason.BACKOFF,
        f"Backing off until {until:%Y-%m-%d %H:%M:%S} UTC after {snapshot.consecutive_errors} failed in a row.",
    )


def _approved(job: Job, dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | Ask | Refuse | None:
    """A decision counts for exactly the spec that was shown. Nobody is asked about what already ran."""
    asked = snapshot.asked
    if asked is None and (snapshot.key_claimed or not approval.is_needed(job, dispatch)):
        return None
    if asked is not None and asked.status in (ApprovalStatus.REJECTED, ApprovalStatus.TIMED_OUT):
        return Refuse(asked.why)
    if asked is not None and asked.status is ApprovalStatus.APPROVED and asked.digest == approval.spec_digest(job):
        return None
    if asked is None and snapshot.pending_approvals >= job.approval.max_pending:
        waiting = f"{snapshot.pending_approvals} runs of the job wait for approval already"
        return Skip(SkipReason.BACKLOG, f"{waiting}, and approval.max_pending is {job.approval.max_pending}.")
    return Ask("Waits for a person to approve it.")


def _slot_in_pool(job: Job, _dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Wait | None:
    if job.limits.pool is None or snapshot.pool_free > 0 or _replaces(job, snapshot):
        return None  # what it replaces may hold the slot
    return Wait(WaitsFor.POOL, f'Waits for a slot of the pool "{job.limits.pool}"; runs as soon as one is free.')


def _no_overlap(job: Job, _dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | Wait | None:
    if job.limits.overlap == "allow" or snapshot.running == 0:
        return None
    if job.limits.overlap == "replace":
        ends = Wait(WaitsFor.OVERLAP, "Ends an earlier run of the job; runs as soon as that has ended.")
        return ends if _replaces(job, snapshot) else None
    if job.limits.overlap == "queue":
        return Wait(WaitsFor.OVERLAP, "Waits for an earlier run of the job; runs as soon as that has ended.")
    which = f" ({str(snapshot.in_the_way)[:8]})" if snapshot.in_the_way else ""
    why = f"An earlier run of the job is still running{which}, and limits.overlap is skip."
    return Skip(SkipReason.OVERLAP, why, snapshot.in_the_way)


def _replaces(job: Job, snapshot: Snapshot) -> bool:
    """An occasion that has, or had, its run already ends none."""
    return job.limits.overlap == "replace" and snapshot.running > 0 and not snapshot.key_claimed


def _first_of_its_scope(_job: Job, _dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | None:
    if not snapshot.key_claimed:
        return None
    return Skip(SkipReason.DUPLICATE, "This occurrence already had its run; nothing runs twice.")


def _within_budget(job: Job, _dispatch: Dispatch, snapshot: Snapshot, _now: datetime) -> Skip | Ask | None:
    """Last: what does not run for another reason does not ask for money."""
    over = snapshot.costs
    if isinstance(over, Fits):
        return None
    if over.action is Action.STOP:
        return Skip(SkipReason.BUDGET, over.why)
    if snapshot.asked is None and snapshot.pending_approvals >= job.approval.max_pending:
        waiting = f"{snapshot.pending_approvals} runs of the job wait for approval already"
        return Skip(SkipReason.BUDGET, f"{over.why} {waiting}, and approval.max_pending is {job.approval.max_pending}.")
    return Ask(f"{over.why} It waits for a person to approve it.", over.why)


GUARDS: tuple[Guard, ...] = (
    _withdrawn,
    _claimable,
    _enabled,
    _known,
    _not_left_out,
    _on_time,
    _not_backing_off,
    _approved,
    _slot_in_pool,
    _no_overlap,
    _first_of_its_scope,
    _within_budget,
)
