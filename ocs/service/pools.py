"""Pools: how many runs that share something may execute at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocs.errors import ServerUnreachable, UsageError
from ocs.rules.attribution import Attribution
from ocs.service import session
from ocs.service.listener import Listener

if TYPE_CHECKING:
    from ocs.store import PoolUse, Store

MOST_SLOTS = 10_000


async def pools(store: Store) -> list[PoolUse]:
    """All pools, and those that a job of the project names and nothing has used yet."""
    from ocs.store import PoolUse
    from ocs.store import pools as used

    known = {pool.name: pool for pool in await used(store)}
    jobs = session.catalogue().jobs.values() if session.has_project() else ()
    named = {job.limits.pool for job in jobs if job.limits.pool}
    return [known.get(name) or PoolUse(name, 1, 0, 0) for name in sorted({*known, *named})]


async def set_slots(store: Store, pool: str, slots: int, *, by: Attribution, listener: Listener) -> None:
    """Set how many runs of a pool's jobs may execute at once, and release what may begin now. Running ones go on.

    Without a server the worker sends what was released once there is one.

    Raises:
        UsageError: no job could name such a pool, or there are no such numbers of slots.
    """
    from ocs.store import release_all_waiting
    from ocs.store import set_slots as write

    _check(pool, slots)
    await write(store, pool, slots, by=by)
    released = await release_all_waiting(store, session.now())
    if not released:
        return
    try:
        async with session.server() as client:
            from tasks.adapter.publish import publish

            await publish(client, store, released)
    except ServerUnreachable as away:
        listener.note(f"{away.message}  What waited goes on when it is back.")


def _check(pool: str, slots: int) -> None:
    from ocs.spec import violations

    if not pool.strip():
        raise UsageError("Give the pool a name.", hint="Such as: ocs pools set database 2")
    wrong = violations({"id": "any", "run": "any", "limits": {"pool": pool}})
    if wrong:
        raise UsageError(f"The pool's name {wrong[0].message}.")
    if not 1 <= slots <= MOST_SLOTS:
        raise UsageError(f"A pool has 1 to {MOST_SLOTS} slots, not {slots}.")
