"""`ocs idem`: the idempotency ledger, which keeps an occasion from running twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import SomeJob
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import count_of, local, utc
from ocs.service import session

if TYPE_CHECKING:
    from ocs.store.tables import IdempotencyKey

app = typer.Typer()
Key = Annotated[str, typer.Argument(help="The key, or the beginning of it.")]


@app.command("list", epilog="Example:  ocs idem list --job nightly-report")
def list_keys(
    job: SomeJob = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """List keys, newest first."""

    async def found() -> list[IdempotencyKey]:
        from ocs.store import ledger

        async with session.store() as store:
            chosen = await session.pick_ever_run(store, job) if job else None
            return await ledger.keys(store, job=chosen, limit=count)

    keys = session.run(found())

    def people() -> None:
        if not keys:
            say("The ledger is empty; a key is claimed with every run.")
            return
        rows = [(key.key[:12], key.job_id, key.status, str(key.run_id)[:8], local(key.expires_at)) for key in keys]
        table(("KEY", "JOB", "STATUS", "RUN", "UNTIL"), rows, spare=("RUN",))

    answer({"keys": [_view(key) for key in keys]}, people)


@app.command(epilog="Example:  ocs idem show 9f743cb7")
def show(key: Key) -> None:
    """Show one key: whose it is, and until when it blocks."""

    async def found() -> IdempotencyKey:
        from ocs.store import ledger

        async with session.store() as store:
            return await ledger.key_by_prefix(store, key)

    view = _view(session.run(found()))
    answer(
        {"key": view},
        lambda: table(("", ""), [(name.replace("_", " "), value) for name, value in view.items() if value]),
    )


@app.command(epilog="Example:  ocs idem release 9f743cb7")
def release(key: Key) -> None:
    """Free a key, so that its occasion may run again."""

    async def released() -> IdempotencyKey:
        from ocs.store import ledger

        async with session.store() as store:
            chosen = await ledger.key_by_prefix(store, key)
            return await ledger.release_key(store, chosen.key, by=person())

    view = _view(session.run(released()))
    answer({"key": view}, lambda: say(f"Released {view['key']} of {view['job']}; its occasion may run again."))


@app.command(epilog="Example:  ocs idem prune")
def prune() -> None:
    """Delete keys that block nothing any more: expired or released ones. Runs stay as they are."""

    async def pruned() -> int:
        from ocs.store import ledger

        async with session.store() as store:
            return await ledger.prune_keys(store, now=session.now())

    gone = session.run(pruned())
    answer({"pruned": gone}, lambda: say(f"Deleted {count_of(gone, 'key')} that blocked nothing any more."))


def _view(key: IdempotencyKey) -> dict[str, Any]:
    return {
        "key": key.key,
        "job": key.job_id,
        "status": str(key.status),
        "run": str(key.run_id),
        "claimed_at": utc(key.claimed_at),
        "released_at": utc(key.released_at),
        "expires_at": utc(key.expires_at),
        "result_hash": key.result_hash,
    }
