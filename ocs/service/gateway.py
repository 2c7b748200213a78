"""The OpenClaw gateway that jobs use, as it is seen from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from blocks.gateway import OpenClawGateway

MAKE_IT = 'Make the block "default" of type OpenClaw Gateway in the Prefect UI, or set OPENCLAW_GATEWAY_URL'


async def gateway_for(client: PrefectClient) -> OpenClawGateway | str:
    """The block "default", which may be away just now, else what the environment names and answers; or why none is."""
    from pydantic import ValidationError

    from blocks.gateway import BLOCK, OpenClawGateway
    from blocks.gateway_error import GatewayError

    try:
        return await OpenClawGateway.aload(BLOCK, client=client)
    except ValidationError:
        return f'the OpenClaw Gateway block "{BLOCK}" cannot be used.'
    except ValueError:  # there is no such block
        try:
            named = OpenClawGateway.from_environment()
        except GatewayError as wrong:
            return wrong.message
        return named if await named.health() else f"no block names a gateway, and none answers at {named.url}."
