"""The story of a run: why it ran, its attempts, how it ended, what followed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ocs.rules.costs import Use, dollars, total_of
from ocs.rules.dispatch import DispatchKind
from ocs.rules.wording import SHORT, local
from ocs.service import session
from ocs.service.records import as_json, run_records

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import Run


async def story_of(store: Store, run: Run) -> dict[str, Any]:
    """The run's view with everything around it."""
    from ocs.store import costs, inbox, queries
    from ocs.store.approvals import approvals_of_run, said_of

    (view,) = await _views(store, [run])
    tries = await queries.attempts(store, run)
    attempts = await _views(store, tries)
    children = await _views(store, await queries.children_of(store, run.id))
    coming = [
        waiting for waiting in await queries.open_dispatches(store) if run.id in (waiting.source_run, waiting.retry_of)
    ]
    parent = await queries.run(store, run.parent_run) if run.parent_run else None
    asked = await approvals_of_run(store, run.id)
    return {
        **view,
        "why": _why(run, parent, await _tracker(store, tries[0]) if parent is None else None),
        "skip_reason": run.skip_reason,
        "signal": run.signal,
        "session_key": run.session_key,
        "model": run.model,
        **used_by(run, await costs.uses_of(store, run.id)),
        "finding": run.finding,
        "attempts": [{**_brief(view), "model": tried.model} for tried, view in zip(tries, attempts, strict=True)],
        "followed_by": [_brief(child) for child in children],
        "waiting": [
            {"job": waiting.job_id, "kind": str(waiting.kind), "scheduled_for": waiting.scheduled_for}
            for waiting in coming
        ],
        "approvals": [
            {"id": str(request.id), "status": str(request.status), "said": said_of(request)} for request in asked
        ],
        "messages": [
            {"id": str(message.id), "from": message.sender, "subject": message.subject, "event": str(receipt.event)}
            for message, receipt in await inbox.shown_to(store, run.id)
        ],
        "ui_url": session.flow_run_link(run.flow_run_id),
    }


async def _views(store: Store, runs: Sequence[Run]) -> list[dict[str, Any]]:
    return [as_json(record) for record in await run_records(store, runs)]


async def _tracker(store: Store, first: Run) -> str | None:
    """The tracker whose end a run without a parent follows."""
    from ocs.store import trackers

    if first.kind is not DispatchKind.CHAIN or first.dispatch_id is None:
        return None
    return await trackers.name_of_dispatch(store, first.dispatch_id)


def used_by(run: Run, uses: Sequence[Use]) -> dict[str, Any]:
    """What a run has used and cost; null where that is not known, which is never 0."""
    tokens = {"in": run.tokens_in, "cached": run.tokens_cached or 0, "out": run.tokens_out}
    return {
        "tokens": tokens if run.tokens_in is not None else None,
        "cost_usd": dollars(run.cost),
        "cost_at_least": run.cost_at_least,
        "used": [{"model": use.model or None, **sum_view(use)} for use in uses],
    }


def sum_view(use: Use) -> dict[str, Any]:
    """What calls have used and cost together, as programs see it."""
    total, tokens = total_of([use]), use.tokens
    return {
        "calls": use.calls,
        "tokens": {"in": tokens.read, "cached": tokens.cached, "stored": tokens.stored, "out": tokens.output},
        "cost_usd": dollars(total.micros),
        "cost_at_least": total.at_least,
    }


def _why(run: Run, parent: Run | None, tracker: str | None) -> str:
    due = local(run.scheduled_for)
    match run.kind:
        case DispatchKind.SCHEDULED:
            return f"its schedule, for {due}"
        case DispatchKind.MANUAL:
            return "by hand"
        case DispatchKind.CHAIN:
            if tracker is not None:
                return f"after all members of {tracker} had ended (ocs tasks show {tracker})"
            return f"after {parent.job_id}, run {str(parent.id)[:SHORT]} ({parent.status})" if parent else "after a job"
        case DispatchKind.RETRY:
            return f"attempt {run.attempt}, after run {str(run.retry_of)[:SHORT]}"
        case DispatchKind.REPLAY:
            return "again, after a crash"
        case DispatchKind.QUEUED:
            return "it had waited for another run to end"


def _brief(view: dict[str, Any]) -> dict[str, Any]:
    return {key: view[key] for key in ("id", "job", "kind", "attempt", "status", "started_at", "finished_at")}
