"""Overdue: members that are silent after their tracker's deadline, and acknowledgements that nobody has given in time.

Repeating it is harmless.
"""

from __future__ import annotations

from ocs.store import acknowledgements, trackers
from tasks.adapter import runtime
from tasks.delivery.send import deliver_leftovers
from tasks.recovery.isolation import Isolation


async def look_for_overdue() -> int:
    """Look at every open tracker and every message that had to be acknowledged by now; returns of how many was told.

    Raises:
        ExceptionGroup: some of them failed; the others were looked at.
    """
    store, now = await runtime.store(), runtime.clock()
    isolation = Isolation("Looking for what is overdue")
    told = 0
    for tracker_id in await trackers.look(store, now):
        with isolation.job(str(tracker_id)):
            told += await trackers.look_at(store, tracker_id, now)
    for message_id in await acknowledgements.due(store, now):
        with isolation.job(str(message_id)):
            told += bool(await acknowledgements.settle(store, message_id, now))
    if told:
        await deliver_leftovers()
    isolation.raise_failures()
    return told
