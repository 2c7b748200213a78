"""What `ocs doctor` asks about deliveries: messages that were given up, and targets that jobs name and nobody made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ocs.cli import session
from ocs.cli.checks import Finding, State
from ocs.cli.output import count_of

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from ocs.store import Store


async def dead_letters(store: Store) -> Finding:
    """Messages that were given up."""
    from ocs.store import deliveries
    from ocs.store.tables_delivery import DeliveryStatus

    dead = [row for row in await deliveries.unsent(store) if row.status is DeliveryStatus.FAILED]
    if not dead:
        return Finding("deliveries", State.OK, "No message was given up.")
    told = f"Given up: {count_of(len(dead), 'message')} to {', '.join(sorted({row.target for row in dead}))}."
    newest = f"{told} The newest because: {dead[-1].last_error}"
    return Finding("deliveries", State.WARNING, newest, f"ocs queue list; ocs queue retry {str(dead[-1].id)[:8]}")


async def targets(client: PrefectClient) -> AsyncIterator[Finding]:
    """Whether the targets that the project's jobs name exist."""
    if not session.has_project():
        return
    from blocks.targets import all_targets
    from ocs.spec.target import Named, address

    named: dict[str, list[str]] = {}
    for job in session.catalogue().jobs.values():
        if job.deliver and job.deliver.to and isinstance(found := address(job.deliver.to), Named):
            named.setdefault(found.name, []).append(job.id)
    there = await all_targets(client) if named else {}
    for target, jobs in named.items():
        if target not in there:
            said = f"{', '.join(jobs)}: there is no delivery target {target}."
            yield Finding("targets", State.WARNING, said, f"ocs targets add {target} --to telegram:12345")
        elif there[target] is None:
            said = f"{', '.join(jobs)}: the delivery target {target} is incomplete."
            yield Finding("targets", State.WARNING, said, f"Edit {target} in the Prefect UI under Blocks")
