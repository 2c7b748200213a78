"""The store: what Prefect does not promise. Runs, the idempotency ledger, the outbox, the queue."""

from ocs.store.abandoning import abandon
from ocs.store.approval_gate import ApprovalContext, ApprovalRequested, Declined
from ocs.store.claim import Claim, Claimed, Dispatched, Forbidden, Queued, Rejected, claim, dispatch_of, dispatched
from ocs.store.engine import Store, open_store
from ocs.store.finish import Outcome, close_run, finish
from ocs.store.leases import Lease, leases, record_process, record_session, renew_leases
from ocs.store.outbox import (
    PendingDispatch,
    Sent,
    enqueue,
    mark_published,
    pending_dispatches,
    published_dispatches,
    send_again,
)
from ocs.store.pools import PoolUse, pools, set_slots
from ocs.store.queue import release_all_waiting
from ocs.store.superseded import LateOccurrence, skip_superseded
from ocs.store.withdrawing import withdraw, withdraw_one

__all__ = [
    "ApprovalContext",
    "ApprovalRequested",
    "Claim",
    "Claimed",
    "Declined",
    "Dispatched",
    "Forbidden",
    "LateOccurrence",
    "Lease",
    "Outcome",
    "PendingDispatch",
    "PoolUse",
    "Queued",
    "Rejected",
    "Sent",
    "Store",
    "abandon",
    "claim",
    "close_run",
    "dispatch_of",
    "dispatched",
    "enqueue",
    "finish",
    "leases",
    "mark_published",
    "open_store",
    "pending_dispatches",
    "pools",
    "published_dispatches",
    "record_process",
    "record_session",
    "release_all_waiting",
    "renew_leases",
    "send_again",
    "set_slots",
    "skip_superseded",
    "withdraw",
    "withdraw_one",
]
