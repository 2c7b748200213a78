"""What `ocs doctor` asks of the gateway that jobs use, when a block names it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from ocs.cli.doctor.project import Finding, State
from ocs.errors import OcsError

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient


async def gateway_block(client: PrefectClient) -> AsyncIterator[Finding]:
    """Whether the gateway of the block "default" answers, takes the token, and offers chat turns."""
    from pydantic import ValidationError

    from blocks.connections import close_connections
    from blocks.gateway import BLOCK, OpenClawGateway

    try:
        gateway = await OpenClawGateway.aload(BLOCK, client=client)
    except ValidationError:
        found = f'The OpenClaw Gateway block "{BLOCK}" cannot be used.'
        yield Finding("gateway", State.PROBLEM, found, "Correct it in the Prefect UI under Blocks")
        return
    except ValueError:  # there is none
        return
    try:
        await gateway.check_token()
    except OcsError as failed:
        yield Finding("gateway", State.PROBLEM, failed.message, failed.hint)
    else:
        yield Finding("gateway", State.OK, f"{gateway.url} answers, and takes the token of the block.")
    finally:
        await close_connections()
