"""Delivery targets that jobs name, and whether what they tell can arrive there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocs.service.gateway import MAKE_IT, gateway_for

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from blocks.target import DeliveryTarget
    from ocs.spec import Job
    from ocs.spec.target import Address


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why nothing arrives at a target, and the command that mends it."""

    what: str
    mend: str


async def unusable_targets(client: PrefectClient, jobs: Iterable[Job]) -> AsyncIterator[Unusable]:
    """The targets of these jobs that do not exist, or are chats which the gateway does not see."""
    from blocks.targets import all_targets
    from ocs.spec.target import Named, address

    named: dict[Address, list[str]] = {}
    for job in jobs:
        for target in job.deliver.named if job.deliver else ():
            named.setdefault(address(target), []).append(job.id)
    there = await all_targets(client) if named else {}
    for target, by in named.items():
        if not isinstance(target, Named):
            continue
        if target.name not in there:
            said = f"{', '.join(by)}: there is no delivery target {target.name}."
            yield Unusable(said, f"ocs targets add {target.name} --to telegram:12345")
        elif there[target.name] is None:
            said = f"{', '.join(by)}: the delivery target {target.name} is incomplete."
            yield Unusable(said, f"Edit {target.name} in the Prefect UI under Blocks")
    async for unseen in _unseen(client, sorted(_chats(named, there))):
        yield unseen


def _chats(named: Iterable[Address], there: Mapping[str, DeliveryTarget | None]) -> Iterator[tuple[str, str]]:
    """What of it is a conversation in a channel of the gateway."""
    from ocs.spec.target import InChannel, Named

    for target in named:
        if isinstance(target, InChannel):
            yield target.channel, target.recipient
        elif isinstance(target, Named) and (block := there.get(target.name)) and block.kind == "gateway":
            yield block.channel, block.recipient


async def _unseen(client: PrefectClient, chats: list[tuple[str, str]]) -> AsyncIterator[Unusable]:
    """The chats that the gateway does not see. That it is away just now is another check's."""
    from blocks.connections import close_connections
    from blocks.gateway_error import GatewayError
    from blocks.gateway_transport import GatewayTransport

    if not chats:
        return
    try:
        gateway = await gateway_for(client)
        if isinstance(gateway, str):
            yield Unusable(f"{', '.join(':'.join(chat) for chat in chats)}: {gateway}", MAKE_IT)
            return
        for channel, recipient in chats:
            if not await GatewayTransport(gateway, channel, recipient).look():
                said = (
                    f"The gateway does not see {channel}:{recipient}: not connected, or nobody wrote to its bot there."
                )
                yield Unusable(said, "openclaw channels status --probe; openclaw logs")
    except GatewayError:
        return
    finally:
        await close_connections()
