"""`ocs idem`: the idempotency ledger, which keeps an occasion from running twice."""

from __future__ import annotations

from typing import Annotated

import typer

from ocs.cli.arguments import SomeJob
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import SHORT, count_of, local
from ocs.service import ledger, session
from ocs.service.ledger import Key
from ocs.service.records import as_json

app = typer.Typer()
Given = Annotated[str, typer.Argument(help="The key, or the beginning of it.")]


@app.command("list", epilog="Example:  ocs idem list --job nightly-report")
def list_keys(
    job: SomeJob = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """List keys, newest first."""

    async def found() -> list[Key]:
        async with session.store() as store:
            return await ledger.keys(store, job, limit=count)

    keys = session.run(found())

    def people() -> None:
        if not keys:
            say("The ledger is empty; a key is claimed with every run.")
            return
        rows = [(key.key[:12], key.job, key.status, str(key.run)[:SHORT], local(key.expires_at)) for key in keys]
        table(("KEY", "JOB", "STATUS", "RUN", "UNTIL"), rows, spare=("RUN",))

    answer({"keys": [as_json(key) for key in keys]}, people)


@app.command(epilog="Example:  ocs idem show 9f743cb7")
def show(key: Given) -> None:
    """Show one key: whose it is, and until when it blocks."""

    async def found() -> Key:
        async with session.store() as store:
            return await ledger.key(store, key)

    view = as_json(session.run(found()))
    answer(
        {"key": view},
        lambda: table(("", ""), [(name.replace("_", " "), value) for name, value in view.items() if value]),
    )


@app.command(epilog="Example:  ocs idem release 9f743cb7")
def release(key: Given) -> None:
    """Free a key, so that its occasion may run again."""

    async def released() -> Key:
        async with session.store() as store:
            return await ledger.release(store, key, by=person())

    freed = session.run(released())
    answer({"key": as_json(freed)}, lambda: say(f"Released {freed.key} of {freed.job}; its occasion may run again."))


@app.command(epilog="Example:  ocs idem prune")
def prune() -> None:
    """Delete keys that block nothing any more: expired or released ones. Runs stay as they are."""

    async def pruned() -> int:
        async with session.store() as store:
            return await ledger.prune(store)

    gone = session.run(pruned())
    answer({"pruned": gone}, lambda: say(f"Deleted {count_of(gone, 'key')} that blocked nothing any more."))
