"""What `ocs doctor` asks about deliveries: messages that were given up, and targets that jobs name and nobody made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ocs.cli.doctor.project import Finding, State
from ocs.rules.wording import count_of
from ocs.service import session
from ocs.service.targets import unusable_targets

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
    """Whether the targets that the project's jobs name exist, and the gateway sees those that are its chats."""
    if session.has_project():
        async for unusable in unusable_targets(client, session.catalogue()):
            yield Finding("targets", State.WARNING, unusable.what, unusable.mend)
