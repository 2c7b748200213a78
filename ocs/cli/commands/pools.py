"""`ocs pools`: how many runs that share something may execute at the same time."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table, tell
from ocs.errors import ServerUnreachable, UsageError
from ocs.rules.wording import count_of
from ocs.service import session

if TYPE_CHECKING:
    from ocs.store import PoolUse, Store

MOST_SLOTS = 10_000
app = typer.Typer()


@app.command("list", epilog="Example:  ocs pools list")
def list_pools() -> None:
    """List the pools: their slots, and how many runs have one or wait for one."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return [asdict(pool) for pool in await _all(store)]

    pools = session.run(found())

    def people() -> None:
        if not pools:
            say("There are no pools yet. Put a job into one with:  ocs jobs edit ID --set limits.pool=database")
            return
        table(("POOL", "SLOTS", "RUNNING", "WAITING"), [tuple(pool.values()) for pool in pools])

    answer({"pools": pools}, people)


@app.command("set", epilog="Example:  ocs pools set database 2")
def set_pool(
    pool: Annotated[str, typer.Argument(help="Its name, as in limits.pool.")],
    slots: Annotated[int, typer.Argument(min=1, max=MOST_SLOTS, help="How many runs at the same time.")],
) -> None:
    """Set how many runs of a pool's jobs may execute at the same time. Running ones go on."""
    _check_name(pool)

    async def changed() -> None:
        from ocs.store import set_slots

        async with session.store() as store:
            await set_slots(store, pool, slots, by=person())
            await _release_waiting(store)

    session.run(changed())
    answer({"pool": {"name": pool, "slots": slots}}, lambda: say(f"The pool {pool} has {count_of(slots, 'slot')}."))


def _check_name(pool: str) -> None:
    """The rule of limits.pool: a job could not name any other.

    Raises:
        UsageError: no job can be in a pool called so.
    """

    from ocs.spec import violations

    if not pool.strip():
        raise UsageError("Give the pool a name.", hint="Such as: ocs pools set database 2")
    wrong = violations({"id": "any", "run": "any", "limits": {"pool": pool}})
    if wrong:
        raise UsageError(f"The pool's name {wrong[0].message}.")


async def _release_waiting(store: Store) -> None:
    """Whoever waited goes on at once; without a server the worker sends them when there is one."""
    from ocs.store import release_all_waiting

    pending = await release_all_waiting(store, session.now())
    if not pending:
        return
    try:
        async with session.server() as client:
            from tasks.adapter.publish import publish

            await publish(client, store, pending)
    except ServerUnreachable as away:
        tell(f"{away.message}  What waited goes on when it is back.")


async def _all(store: Store) -> list[PoolUse]:
    """Those of the catalogue that nothing has used yet, too."""
    from ocs.store import PoolUse, pools

    known = {pool.name: pool for pool in await pools(store)}
    jobs = session.catalogue().jobs.values() if session.has_project() else ()
    named = {job.limits.pool for job in jobs if job.limits.pool}
    return [known.get(name) or PoolUse(name, 1, 0, 0) for name in sorted({*known, *named})]
