"""What `ocs doctor` asks about deliveries: messages that were given up, and targets that jobs name and nobody made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ocs.cli.doctor.project import Finding, State
from ocs.rules.wording import count_of
from ocs.service import session

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from blocks.target import DeliveryTarget
    from ocs.spec.target import Address
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
    if not session.has_project():
        return
    from blocks.targets import all_targets
    from ocs.spec.target import Named, address

    named: dict[Address, list[str]] = {}
    for job in session.catalogue().jobs.values():
        for target in job.deliver.named if job.deliver else ():
            named.setdefault(address(target), []).append(job.id)
    there = await all_targets(client) if named else {}
    for target, jobs in named.items():
        if not isinstance(target, Named):
            continue
        if target.name not in there:
            said = f"{', '.join(jobs)}: there is no delivery target {target.name}."
            yield Finding("targets", State.WARNING, said, f"ocs targets add {target.name} --to telegram:12345")
        elif there[target.name] is None:
            said = f"{', '.join(jobs)}: the delivery target {target.name} is incomplete."
            yield Finding("targets", State.WARNING, said, f"Edit {target.name} in the Prefect UI under Blocks")
    async for finding in _unseen(client, sorted(_chats(named, there))):
        yield finding


def _chats(named: Iterable[Address], there: Mapping[str, DeliveryTarget | None]) -> Iterator[tuple[str, str]]:
    """What of it is a conversation in a channel of the gateway."""
    from ocs.spec.target import InChannel, Named

    for target in named:
        if isinstance(target, InChannel):
            yield target.channel, target.recipient
        elif isinstance(target, Named) and (block := there.get(target.name)) and block.kind == "gateway":
            yield block.channel, block.recipient


async def _unseen(client: PrefectClient, chats: list[tuple[str, str]]) -> AsyncIterator[Finding]:
    """The chats that the gateway of the block "default" does not see. What is wrong with it is another check's."""
    from blocks.connections import close_connections
    from blocks.gateway import BLOCK, GatewayError, OpenClawGateway
    from blocks.gateway_transport import GatewayTransport

    if not chats:
        return
    try:
        gateway = await OpenClawGateway.aload(BLOCK, client=client)
        for channel, recipient in chats:
            if not await GatewayTransport(gateway, channel, recipient).look():
                said = (
                    f"The gateway does not see {channel}:{recipient}: not connected, or nobody wrote to its bot there."
                )
                yield Finding("targets", State.WARNING, said, "openclaw channels status --probe; openclaw logs")
    except (ValueError, GatewayError):  # there is no such block, or it cannot be used
        return
    finally:
        await close_connections()
