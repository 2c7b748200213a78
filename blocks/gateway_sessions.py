"""Sessions of a gateway beside their turns: their sub-agents, what was said last, ending what goes on in one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, cast

from blocks.gateway import OpenClawGateway
from blocks.gateway_error import GatewayError
from ocs.rules import subagents
from ocs.rules.subagents import SubAgent
from ocs.timing import timing

LATEST = 20
"""Messages of a session that are looked through for the last words."""
ROUNDS = 3
"""A sub-agent may spawn another one while it is told to end."""


class Live(StrEnum):
    """What a gateway does with words for a turn that goes on.

    TAKEN: the agent reads them at its next step. IDLE: no turn goes on that could take them, nothing was done.
    REFUSED: this gateway takes none.
    """

    TAKEN = "taken"
    IDLE = "idle"
    REFUSED = "refused"


async def steer(gateway: OpenClawGateway, key: str, words: str) -> Live:
    """Tell the turn that goes on in a session something; the turn's own reply then answers it.

    The gateway answers when the agent has read it, which may take as long as a tool works.

    Raises:
        GatewayError: it is away or took too long; whether it took the words is not known.
    """
    # With `mode` and without a wait: otherwise the gateway begins a turn, and the two sessions talk to each other.
    said = {"sessionKey": key, "message": words, "mode": "steer", "timeoutSeconds": 0}
    try:
        answer = await gateway.invoke_tool("sessions_send", said, session_key=key)
    except GatewayError as failed:
        if failed.retryable:
            raise
        return Live.REFUSED
    details: Any = answer.get("details")
    told: Mapping[str, Any] = cast("dict[str, Any]", details) if isinstance(details, dict) else {}
    if told.get("targetDisposition") == "steered":
        return Live.TAKEN
    return Live.REFUSED if told.get("status") == "forbidden" else Live.IDLE


async def family(gateway: OpenClawGateway, key: str, besides: Collection[str] = ()) -> tuple[SubAgent, ...] | None:
    """The sub-agents of a session; None when the gateway does not tell (its tools are not allowed).

    Raises:
        GatewayError: it is away.
    """
    try:
        answer = await gateway.invoke_tool("subagents", {"action": "list"}, session_key=key)
    except GatewayError as failed:
        if failed.is_away:
            raise
        return None
    details: Any = answer.get("details")
    return subagents.listed(cast("Mapping[str, Any]", details), besides) if isinstance(details, dict) else None


async def last_words(gateway: OpenClawGateway, key: str) -> str | None:
    """What the agent said last in a session, None when it is not known.

    Raises:
        GatewayError: it is away.
    """
    try:
        history = await gateway.history(key, limit=LATEST)
    except GatewayError as failed:
        if failed.is_away:
            raise
        return None
    return subagents.last_said(history)


async def stop(gateway: OpenClawGateway, key: str, *, archive: bool, besides: Collection[str] = ()) -> bool:
    """End what goes on in a session and its sub-agents; whether it was reached in time.

    The end of a sub-agent wakes the session that spawned it. With `archive` the session is put away first, so that
    nothing wakes it until it is reopened; sessions that others use too cannot be.
    """
    try:
        async with asyncio.timeout(timing().gateway_stop.total_seconds()):
            if archive:
                await _patch(gateway, key, archived=True)
            for _ in range(ROUNDS):
                found = await family(gateway, key, besides) or ()
                running = [each.id for each in found if each.running and each.task]
                if not running:
                    break
                await asyncio.gather(*(_cancel(gateway, key, task) for task in running))
    except (GatewayError, TimeoutError):
        return False
    return True


async def reopen(gateway: OpenClawGateway, key: str) -> None:
    """Take a session out of the archive, where a stop has put it: a turn in it would fail.

    Raises:
        GatewayError: the gateway is away.
    """
    await _patch(gateway, key, archived=False)


async def _patch(gateway: OpenClawGateway, key: str, *, archived: bool) -> None:
    """Harmless for a session that is not there: there is nothing to end or to go on with."""
    await _unless_refused(gateway.invoke_tool("sessions", {"action": "patch", "archived": archived}, session_key=key))


async def _cancel(gateway: OpenClawGateway, key: str, task: str) -> None:
    await _unless_refused(gateway.invoke_tool("subagents", {"action": "cancel", "taskId": task}, session_key=key))


async def _unless_refused(asking: Any) -> None:
    try:
        await asking
    except GatewayError as failed:
        if failed.is_away:
            raise
