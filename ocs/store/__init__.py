"""The store: what Prefect does not promise. Runs, the idempotency ledger, the outbox, whose turn it is."""

from ocs.store.approval_gate import Asks, Declined, Shown
from ocs.store.claim import Claim, Claimed, Deferred, Dispatched, Forbidden, Rejected, claim, dispatch_of, dispatched
from ocs.store.engine import Store, open_store
from ocs.store.finish import Outcome, close_run, finish
from ocs.store.leases import LEASE, Lease, leases, record_process, record_session, renew_leases
from ocs.store.outbox import (
    PendingDispatch,
    Sent,
    abandon,
    enqueue,
    mark_published,
    pending_dispatches,
    published_dispatches,
    send_again,
    withdraw,
    withdraw_one,
)
from ocs.store.overtaken import LateComer, pass_over
from ocs.store.pools import PoolUse, pools, set_slots
from ocs.store.waiting import let_all_go_on

__all__ = [
    "LEASE",
    "Asks",
    "Claim",
    "Claimed",
    "Declined",
    "Deferred",
    "Dispatched",
    "Forbidden",
    "LateComer",
    "Lease",
    "Outcome",
    "PendingDispatch",
    "PoolUse",
    "Rejected",
    "Sent",
    "Shown",
    "Store",
    "abandon",
    "claim",
    "close_run",
    "dispatch_of",
    "dispatched",
    "enqueue",
    "finish",
    "leases",
    "let_all_go_on",
    "mark_published",
    "open_store",
    "pass_over",
    "pending_dispatches",
    "pools",
    "published_dispatches",
    "record_process",
    "record_session",
    "renew_leases",
    "send_again",
    "set_slots",
    "withdraw",
    "withdraw_one",
]
