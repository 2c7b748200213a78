"""Deciding approvals: a person lets a waiting run go on, or ends it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ocs.errors import Refused, ServerUnreachable
from ocs.rules.approval import checked_name, checked_reason
from ocs.rules.attribution import Attribution
from ocs.rules.wording import SHORT, local
from ocs.service import session
from ocs.service.listener import Listener

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import Approval


async def decide(
    store: Store,
    given: str,
    *,
    approve: bool,
    by: Attribution,
    listener: Listener,
    name: str | None = None,
    reason: str | None = None,
) -> Approval:
    """Approve or reject the request that `given` names by its id or its job; `name` decides, else `by` itself.

    What was decided elsewhere is heard first. Without a server the decision is kept, and sent by the worker.

    Raises:
        NotFound: there is no such request, or several.
        Refused: it was decided before, or the name or reason cannot be kept.
    """
    from ocs.store import approvals

    decider, why = checked_name(by.actor if name is None else name), checked_reason(reason)
    found = await approvals.approval_by(store, given)
    await _reconcile(store, found)
    by_decider = replace(by, actor=decider, now=session.now())
    decided = await approvals.decide(store, found.id, approve=approve, by=by_decider, reason=why, login=by.actor)
    if not decided.counted:
        raise _decided_before(decided.approval, approvals.said_of(decided.approval))
    if away := await _reconcile(store, found):
        listener.note(f"{away}  The decision is kept, and takes effect when a worker has the server back.")
    return decided.approval


def _decided_before(found: Approval, said: str) -> Refused:
    at = f" That was at {local(found.decided_at)}." if found.decided_at else ""
    hint = f"See: ocs approvals show {str(found.id)[:SHORT]}"
    return Refused(f"It does not wait any more. {said}{at}", hint=hint)


async def _reconcile(store: Store, found: Approval) -> str:
    """Bring the store and Prefect together; returns why not, when no server answers."""
    try:
        async with session.server() as client:
            from tasks.approvals.gate import reconcile_one

            await reconcile_one(client, store, found)
    except ServerUnreachable as away:
        return away.message
    return ""
