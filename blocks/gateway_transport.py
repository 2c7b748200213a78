"""Sending by the OpenClaw gateway's `message` tool: into any chat that it is connected to."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, cast

from blocks import image
from blocks.gateway import OpenClawGateway, gateway
from blocks.gateway_error import GatewayError
from blocks.kind import Fields, TargetKind
from blocks.transport import Part, Transport, Undelivered, patience
from ocs.rules.markdown import literal
from ocs.rules.parts import TELEGRAM_BY_GATEWAY

TELEGRAM = "telegram"
LARGEST_IMAGE = 1_400_000
"""The gateway takes requests of 2 MB, and an image grows by a third on its way."""
UNSENT = ("suppressed", "failed", "partial_failed")
"""What the gateway calls a message that it did not send, though the call itself went well."""
ITS_LOG = (
    "The gateway does not tell why; its log does (openclaw logs), and openclaw channels status --probe says whether "
    "the channel works."
)
ATTACHES_NOTHING = (
    " One that was installed by npm under a Node older than 22 lacks the part that attaches files: install it again "
    "under the Node that it runs on."
)


class GatewayTransport:
    """Into one conversation of one channel."""

    has_subject = False
    takes_images = True

    def __init__(self, gateway: OpenClawGateway, channel: str, recipient: str) -> None:
        self._gateway = gateway
        self._channel = channel
        self._recipient = recipient
        # The gateway cuts for its other channels by itself.
        self.limit = TELEGRAM_BY_GATEWAY if channel == TELEGRAM else None

    async def send(self, part: Part) -> None:
        """A 200 alone does not mean delivered: what was answered is read."""
        arguments = await asyncio.to_thread(self._arguments, part)
        async with patience("The gateway"):
            try:
                answer = await self._gateway.invoke_tool("message", arguments)
            except GatewayError as failed:
                raise Undelivered(
                    f"{self._channel}:{self._recipient} was not reached. {failed.message}",
                    hint=failed.hint or (_where_to_look(part) if failed.retryable else None),
                    retryable=failed.retryable,
                    retry_after=failed.retry_after,
                ) from failed
        if (status := _status(answer)) in UNSENT:
            raise Undelivered(f"{self._channel}:{self._recipient} was not reached: {status}.", hint=ITS_LOG)

    async def look(self) -> bool:
        """Whether the chat is seen by the bot of the gateway; True where the gateway cannot be asked without sending.

        Raises:
            GatewayError: the gateway is away, or accepts no token.
        """
        if self._channel != TELEGRAM:
            return True
        # The one question about a Telegram chat that goes all the way to Telegram and changes nothing.
        asked = {"action": "emoji-list", "channel": TELEGRAM, "chatId": self._recipient.partition(":")[0]}
        try:
            await self._gateway.invoke_tool("message", asked)
        except GatewayError as failed:
            if not failed.reached or not failed.retryable:
                raise
            return False
        return True

    def _arguments(self, part: Part) -> Mapping[str, Any]:
        text, attached = part.text, None
        if part.image is not None:
            found = image.read(part.image, LARGEST_IMAGE, photo=True)
            text, attached = (found, None) if isinstance(found, str) else (part.text, found)
        return {
            "action": "send",
            "channel": self._channel,
            "target": self._recipient,
            "idempotencyKey": part.key,
            **self._words(text if part.markdown else literal(text)),
            **(_attachment(attached) if attached else {}),
        }

    def _words(self, text: str) -> Mapping[str, Any]:
        # What Telegram did not take as a plain `message` the gateway keeps and sends again by itself, beside us: it
        # would arrive twice. A presentation it leaves to its caller (measured, docs/decisions).
        if self._channel == TELEGRAM:
            return {"presentation": {"blocks": [{"type": "text", "text": text}]}}
        return {"message": text}


async def by_gateway(channel: str, recipient: str) -> GatewayTransport:
    """What sends to a conversation through the gateway that the block names.

    Raises:
        Undelivered: no gateway is known, or it cannot be used.
    """
    try:
        return GatewayTransport(await gateway(), channel, recipient)
    except GatewayError as unusable:
        raise Undelivered(unusable.message, hint=unusable.hint) from unusable


async def _transport(target: Fields) -> Transport:
    return await by_gateway(target.channel, target.recipient)


GATEWAY = TargetKind(("channel", "recipient"), lambda target: f"{target.channel}:{target.recipient}", _transport)


def _where_to_look(part: Part) -> str:
    return f"{ITS_LOG}{ATTACHES_NOTHING}" if part.image else ITS_LOG


def _attachment(found: image.Image) -> Mapping[str, Any]:
    data = base64.b64encode(found.data).decode()
    return {"buffer": data, "filename": found.name, "contentType": found.kind}


def _status(answer: Mapping[str, Any]) -> object:
    """How the gateway says it went: channels tell it in either of two ways, or not at all."""
    details: Any = answer.get("details")
    if not isinstance(details, dict):
        return None
    told = cast("dict[str, Any]", details)
    return told.get("deliveryStatus", told.get("status"))
