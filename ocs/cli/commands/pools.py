"""`ocs pools`: how many runs that share something may execute at the same time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ocs.cli.arguments import PoolName
from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import count_of
from ocs.service import pools, session

app = typer.Typer()


@app.command("list", epilog="Example:  ocs pools list")
def list_pools() -> None:
    """List the pools: their slots, and how many runs have one or wait for one."""

    async def found() -> list[dict[str, Any]]:
        async with session.store() as store:
            return [asdict(pool) for pool in await pools.pools(store)]

    views = session.run(found())

    def people() -> None:
        if not views:
            say("There are no pools yet. Put a job into one with:  ocs jobs edit ID --set limits.pool=database")
            return
        table(("POOL", "SLOTS", "RUNNING", "WAITING"), [tuple(pool.values()) for pool in views])

    answer({"pools": views}, people)


@app.command("set", epilog="Example:  ocs pools set database 2")
def set_pool(
    pool: PoolName,
    slots: Annotated[int, typer.Argument(min=1, max=pools.MOST_SLOTS, help="How many runs at the same time.")],
) -> None:
    """Set how many runs of a pool's jobs may execute at the same time. Running ones go on."""

    async def changed() -> None:
        async with session.store() as store:
            await pools.set_slots(store, pool, slots, by=person(), listener=Ear())

    session.run(changed())
    answer({"pool": {"name": pool, "slots": slots}}, lambda: say(f"The pool {pool} has {count_of(slots, 'slot')}."))
