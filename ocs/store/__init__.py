"""The store: what Prefect does not promise. Runs, the idempotency ledger, the outbox, whose turn it is."""

from ocs.store.claim import LEASE, Claimed, Deferred, Rejected, claim, dispatch_of, record_process, renew_leases
from ocs.store.engine import Store, open_store
from ocs.store.finish import Outcome, finish
from ocs.store.outbox import (
    PendingDispatch,
    abandon,
    enqueue,
    mark_published,
    pending_dispatches,
    withdraw,
    withdraw_one,
)
from ocs.store.pools import PoolUse, pools, set_slots
from ocs.store.waiting import let_all_go_on

__all__ = [
    "LEASE",
    "Claimed",
    "Deferred",
    "Outcome",
    "PendingDispatch",
    "PoolUse",
    "Rejected",
    "Store",
    "abandon",
    "claim",
    "dispatch_of",
    "enqueue",
    "finish",
    "let_all_go_on",
    "mark_published",
    "open_store",
    "pending_dispatches",
    "pools",
    "record_process",
    "renew_leases",
    "set_slots",
    "withdraw",
    "withdraw_one",
]
