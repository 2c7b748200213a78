"""What must be true of a system that is at rest, whatever was killed before: nothing lost, doubled or stuck.

One set of rules over plain values, for the named points, for random kills and for several workers alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.rules.guards import SkipReason
from ocs.rules.triggers import FAILURES
from ocs.spec import Job, Shell
from ocs.store.outbox import OPEN
from ocs.store.tables import DispatchRow, DispatchStatus, IdempotencyKey, KeyStatus, Run
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from ocs.store.tables_teams import Tracker
from tasks.adapter.states import state_of

INSTEAD = "runs instead"


class Harm(StrEnum):
    """What a violation did."""

    LOST = "lost"
    DOUBLED = "doubled"
    STUCK = "stuck"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is not as promised."""

    harm: Harm
    what: str

    def __str__(self) -> str:
        return f"{self.harm}: {self.what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that is known of some jobs: in the store, in Prefect, in what they did, and of their processes.

    `executed` are the run ids that the jobs' own side effects tell, `asked` the dispatches made by hand, `alive` the
    processes of the jobs' shells. Of jobs with a schedule `occurrences` are the instants that were due. `told` are the
    ids of the messages that a receiver got; it drops those it has had before. `met` are the run ids of commands that
    found another one at work which they must never meet.
    """

    jobs: Mapping[str, Job]
    runs: Sequence[Run]
    dispatches: Sequence[DispatchRow]
    keys: Sequence[IdempotencyKey]
    flow_runs: Sequence[FlowRun]
    executed: Sequence[UUID]
    asked: Sequence[UUID] = ()
    alive: Sequence[int] = ()
    occurrences: Mapping[str, Sequence[datetime]] = field(default_factory=dict[str, "Sequence[datetime]"])
    deliveries: Sequence[Delivery] = ()
    told: Set[str] = frozenset()
    met: Sequence[UUID] = ()
    trackers: Sequence[Tracker] = ()

    @property
    def claimed(self) -> list[Run]:
        """The runs that no guard stood against."""
        return [run for run in self.runs if run.status is not RunStatus.SKIPPED]

    def following(self, run: Run, kind: DispatchKind) -> list[DispatchRow]:
        """What the end of a run caused, of a kind."""
        cause = {DispatchKind.CHAIN: "source_run"}.get(kind, "retry_of")
        return [row for row in self.dispatches if row.kind is kind and getattr(row, cause) == run.id]


def violations(seen: Seen) -> list[Violation]:
    """Everything that is not as promised."""
    return [violation for rule in RULES for violation in rule(seen)]


def _unfinished(seen: Seen) -> Iterator[Violation]:
    for run in seen.runs:
        if not run.status.final:
            yield Violation(Harm.STUCK, f"{_name(run)} is {run.status} in the store")
    for row in seen.dispatches:
        if row.status in OPEN:
            yield Violation(Harm.STUCK, f"the dispatch {row.id} of {row.job_id} ({row.kind}) is {row.status}")
    for flow_run in seen.flow_runs:
        if flow_run.state is None or not flow_run.state.is_final():
            state = flow_run.state.name if flow_run.state else "without a state"
            yield Violation(Harm.STUCK, f"{flow_run.name} is {state} in Prefect")


def _left_behind(seen: Seen) -> Iterator[Violation]:
    for pid in seen.alive:
        yield Violation(Harm.STUCK, f"the process {pid} of a job is still there")


def _executed_once(seen: Seen) -> Iterator[Violation]:
    """No run did its work twice, none did without a claim, and what is called ok did it."""
    times = Counter(seen.executed)
    claimed = {run.id: run for run in seen.claimed}
    for run_id, count in times.items():
        if count > 1:
            yield Violation(Harm.DOUBLED, f"the run {run_id} did its work {count} times")
        if run_id not in claimed:
            yield Violation(Harm.DOUBLED, f"the run {run_id} did its work and is not in the store")
    for run in claimed.values():
        leaves_traces = isinstance(seen.jobs[run.job_id].run.work, Shell)
        if run.status is RunStatus.OK and leaves_traces and not times[run.id]:
            yield Violation(Harm.LOST, f"{_name(run)} is called ok and did nothing")


def _alone(seen: Seen) -> Iterator[Violation]:
    """What holds a slot alone, or repeats what was cut off, never meets what had it before."""
    for run_id in seen.met:
        yield Violation(Harm.DOUBLED, f"the run {run_id} met processes of an earlier one that are still at work")


def _one_run_a_scope(seen: Seen) -> Iterator[Violation]:
    """One claimed run for an occurrence, a dispatch, a flow run; replays are dispatches of their own."""
    scheduled = [run for run in seen.claimed if run.kind is DispatchKind.SCHEDULED]
    scopes = {
        "occurrence": Counter((run.job_id, run.scheduled_for) for run in scheduled),
        "dispatch": Counter((run.job_id, run.dispatch_id) for run in seen.claimed if run.dispatch_id),
        "flow run": Counter((run.job_id, run.flow_run_id) for run in seen.claimed),
    }
    for scope, counted in scopes.items():
        for (job_id, which), count in counted.items():
            if count > 1:
                yield Violation(Harm.DOUBLED, f"{job_id} ran {count} times for the {scope} {which}")


def _a_crash_keeps_its_key(seen: Seen) -> Iterator[Violation]:
    """A replay has a key of its own: under the crashed run's the occasion could be had again."""
    crashed = {run.id: run for run in seen.runs if run.status is RunStatus.CRASHED}
    for key in seen.keys:
        if key.status is KeyStatus.RELEASED and key.run_id in crashed:
            yield Violation(Harm.DOUBLED, f"{_name(crashed[key.run_id])} has lost its key")


def _every_scope_has_its_run(seen: Seen) -> Iterator[Violation]:
    with_run = {run.dispatch_id for run in seen.runs}
    for row in seen.dispatches:
        if row.status is DispatchStatus.DONE and row.id not in with_run:
            yield Violation(Harm.LOST, f"the dispatch {row.id} of {row.job_id} is done and has no run")
        was_replaced = _is_replaced(seen, row.job_id) and row.id in with_run
        if row.status is DispatchStatus.CANCELLED and not was_replaced:
            yield Violation(Harm.LOST, f"the dispatch {row.id} of {row.job_id} was given up")
    known = {row.id for row in seen.dispatches}
    for dispatch in seen.asked:
        if dispatch not in known:
            yield Violation(Harm.LOST, f"the dispatch {dispatch} that was asked for is not in the store")
    recorded = {(run.job_id, run.scheduled_for) for run in seen.runs}
    recorded |= {(row.job_id, row.scheduled_for) for row in seen.dispatches}
    for job_id, instants in seen.occurrences.items():
        for instant in instants:
            if (job_id, instant) not in recorded:
                yield Violation(Harm.LOST, f"{job_id} has no record of its occurrence of {instant}")


def _runs_instead(seen: Seen) -> Iterator[Violation]:
    """What is said to be missed because a newer occurrence runs has one that ran."""
    newest: dict[str, datetime] = {}
    for run in seen.claimed:
        if run.kind is DispatchKind.SCHEDULED:
            newest[run.job_id] = max(run.scheduled_for, newest.get(run.job_id, run.scheduled_for))
    for run in seen.runs:
        if run.skip_reason is SkipReason.MISSED and INSTEAD in run.summary:
            newer = newest.get(run.job_id)
            if newer is None or newer <= run.scheduled_for:
                yield Violation(Harm.LOST, f"{_name(run)} was left out for a newer one that never ran")


def _consequences(seen: Seen) -> Iterator[Violation]:
    """Each end of a run has the consequences its job asks for, once."""
    for run in seen.runs:
        job = seen.jobs[run.job_id]
        retries, replays = seen.following(run, DispatchKind.RETRY), seen.following(run, DispatchKind.REPLAY)
        yield from _as_often(run, "retry", len(retries), int(_is_retried(job, run)))
        yield from _as_often(run, "replay", len(replays), int(_is_replayed(seen, job, run)))
        goes_on = bool(retries or replays)
        children = Counter(row.job_id for row in seen.following(run, DispatchKind.CHAIN))
        for child in seen.jobs.values():
            if child.after is not None and child.after.job == job.id:
                wanted = not goes_on and _wants(child.after.on, run.status)
                yield from _as_often(run, f"run of {child.id}", children[child.id], int(wanted))


def _as_often(run: Run, what: str, found: int, wanted: int) -> Iterator[Violation]:
    if found > wanted:
        yield Violation(Harm.DOUBLED, f"{_name(run)} ended as {run.status} and has {found} x {what}, not {wanted}")
    if found < wanted:
        yield Violation(Harm.LOST, f"{_name(run)} ended as {run.status} and has no {what}")


def _is_retried(job: Job, run: Run) -> bool:
    return run.status in (RunStatus.ERROR, RunStatus.TIMEOUT) and run.attempt <= job.retry.max


def _is_replayed(seen: Seen, job: Job, run: Run) -> bool:
    crashed = run.status is RunStatus.CRASHED and job.run.guarantee == "at-least-once"
    return crashed and _replays_before(seen, run) < job.run.max_replays


def _replays_before(seen: Seen, run: Run) -> int:
    by_id = {other.id: other for other in seen.runs}
    count = 0
    while run.kind is DispatchKind.REPLAY and run.retry_of in by_id:
        count, run = count + 1, by_id[run.retry_of]
    return count


def _wants(on: str, status: RunStatus) -> bool:
    if status is RunStatus.OK:
        return on in ("success", "complete")
    return status in FAILURES and on in ("failure", "complete")


def _trackers(seen: Seen) -> Iterator[Violation]:
    """Each ends, and is followed once by the job that it names."""
    known = {row.id for row in seen.dispatches}
    for tracker in seen.trackers:
        if tracker.ended_at is None:
            yield Violation(Harm.STUCK, f"the tracker {tracker.name} is open, and nothing of it goes on")
        elif tracker.then_job is not None and tracker.then_dispatch not in known:
            yield Violation(Harm.LOST, f"the tracker {tracker.name} has ended and nothing follows it")
    follow = Counter(tracker.then_job for tracker in seen.trackers if tracker.then_dispatch)
    for job_id, wanted in follow.items():
        caused = [row for row in seen.dispatches if row.kind is DispatchKind.CHAIN and row.source_run is None]
        found = [row for row in caused if row.job_id == job_id]
        if len(found) > wanted:
            yield Violation(Harm.DOUBLED, f"{wanted} trackers are followed by {len(found)} dispatches of {job_id}")


def _told_once(seen: Seen) -> Iterator[Violation]:
    """Of each end that somebody is to hear of there is one message, and it has arrived."""
    messages = Counter(delivery.run_id for delivery in seen.deliveries)
    for run in seen.runs:
        deliver = seen.jobs[run.job_id].deliver
        wanted = deliver is not None and (
            (deliver.when == "always" and run.status is RunStatus.OK)
            or (deliver.when != "never" and run.status in FAILURES)
        )
        yield from _as_often(run, "message", messages[run.id], int(wanted))
    for delivery in seen.deliveries:
        if delivery.status is DeliveryStatus.PENDING:
            yield Violation(Harm.STUCK, f"a message of {delivery.job_id} waits to be sent")
        elif f"{delivery.id}-1" not in seen.told:
            yield Violation(Harm.LOST, f"a message of {delivery.job_id} is {delivery.status} and was not received")


def _both_say_the_same(seen: Seen) -> Iterator[Violation]:
    """The newest run of a flow run is what Prefect shows."""
    newest = {run.flow_run_id: run for run in sorted(seen.runs, key=lambda run: run.attempt)}
    states = {flow_run.id: flow_run.state for flow_run in seen.flow_runs}
    for flow_run_id, run in newest.items():
        state = states.get(flow_run_id)
        if run.skip_reason is SkipReason.OVERLAP and _is_replaced(seen, run.job_id):
            continue  # it was queued, and Prefect shows that
        if state is not None and state.is_final() and state.name != state_of(run.status, "").name:
            yield Violation(Harm.LOST, f"{_name(run)} is {run.status} in the store and {state.name} in Prefect")


def _is_replaced(seen: Seen, job_id: str) -> bool:
    return seen.jobs[job_id].limits.overlap == "replace"


def _name(run: Run) -> str:
    return f"the run {run.id} of {run.job_id} ({run.kind}, attempt {run.attempt})"


RULES = (
    _unfinished,
    _left_behind,
    _executed_once,
    _alone,
    _one_run_a_scope,
    _a_crash_keeps_its_key,
    _every_scope_has_its_run,
    _runs_instead,
    _consequences,
    _trackers,
    _told_once,
    _both_say_the_same,
)
