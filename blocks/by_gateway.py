"""Sending by the OpenClaw gateway's `message` tool: into any chat that it is connected to."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from blocks import image
from blocks.courier import Part, Undelivered, patience
from blocks.gateway import OpenClawGateway
from blocks.gateway_error import GatewayError
from ocs.rules.parts import TELEGRAM

LARGEST_IMAGE = 1_400_000
"""The gateway takes requests of 2 MB, and an image grows by a third on its way."""


class ByGateway:
    """Into one conversation of one channel."""

    has_subject = False
    takes_images = True

    def __init__(self, gateway: OpenClawGateway, channel: str, recipient: str) -> None:
        self._gateway = gateway
        self._channel = channel
        self._recipient = recipient
        # The gateway cuts for its other channels by itself; the reference cut only for this one too (B-8.3).
        self.limit = TELEGRAM if channel == "telegram" else None

    async def send(self, part: Part) -> None:
        """A 200 alone does not mean delivered: the block reads what was answered."""
        args = {
            "action": "send",
            "channel": self._channel,
            "target": self._recipient,
            "idempotencyKey": part.key,
            **_content(part),
        }
        async with patience("The gateway"):
            try:
                await self._gateway.invoke_tool("message", args)
            except GatewayError as failed:
                raise Undelivered(
                    f"{self._channel}:{self._recipient} was not reached. {failed.message}",
                    hint=failed.hint,
                    retryable=failed.retryable,
                    retry_after=failed.retry_after,
                ) from failed


def _content(part: Part) -> Mapping[str, Any]:
    if part.image is None:
        return {"message": part.text}
    found = image.read(part.image, LARGEST_IMAGE)
    if isinstance(found, str):
        return {"message": found}
    data = base64.b64encode(found.data).decode()
    return {"message": part.text, "buffer": data, "filename": found.name, "contentType": found.kind}
