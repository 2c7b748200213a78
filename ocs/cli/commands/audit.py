"""`ocs audit`: who did what, from where, before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import SomeJob, moment_of
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import first_line, local, utc
from ocs.service import session

if TYPE_CHECKING:
    from ocs.store.tables import AuditEvent

app = typer.Typer()


@app.command("list", epilog="Example:  ocs audit list --job deploy --since 7d")
def list_events(
    job: SomeJob = None,
    since: Annotated[str | None, typer.Option(help="Only newer than this, such as 2h or 7d, or a moment.")] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=10_000, help="How many.")] = 50,
) -> None:
    """List what people and the scheduler did, newest first."""
    after = moment_of(since)

    async def found() -> list[AuditEvent]:
        from ocs.store import audit

        async with session.store() as store:
            return await audit.events(store, job=job, since=after, limit=count)

    events = session.run(found())

    def people() -> None:
        if not events:
            say("Nothing was done yet." if job is None and since is None else "Nothing like that was done.")
            return
        rows = [
            (
                local(event.at),
                event.actor,
                event.source,
                event.action,
                event.job_id,
                _change(event.before or {}, event.after or {}),
            )
            for event in events
        ]
        table(("AT", "WHO", "FROM", "DID", "JOB", "CHANGE"), rows)

    answer({"audit": [_view(event) for event in events]}, people)


def _view(event: AuditEvent) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "at": utc(event.at),
        "actor": event.actor,
        "source": event.source,
        "action": event.action,
        "job": event.job_id,
        "run": str(event.run_id) if event.run_id else None,
        "before": event.before,
        "after": event.after,
    }


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What is different afterwards, and from what, where that is known."""
    parts = [
        f"{key}: {_short(before[key])} -> {_short(value)}" if key in before else f"{key}: {_short(value)}"
        for key, value in after.items()
        if value is not None and before.get(key) != value
    ]
    return first_line(", ".join(parts), 100)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
