"""Where a delivery goes: the name of a DeliveryTarget block, or channel:target."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from ocs.spec.values import BLANK_IS_NONE, no_control_characters, quoted

LONGEST_CHANNEL = 64
LONGEST_TARGET = 256
_BLOCK = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def check(text: str) -> str:
    """The target as given.

    Raises:
        ValueError: it is neither form, or too long (B-1.1).
    """
    no_control_characters(text)
    channel, colon, target = text.partition(":")
    if not colon:
        if _BLOCK.fullmatch(text):
            return text
        raise ValueError(
            f"{quoted(text)} is no target; name a DeliveryTarget block (such as ops-room) or channel:target"
        )
    if not channel.strip() or not target.strip():
        raise ValueError(f"{quoted(text)} has an empty side; write channel:target")
    if len(channel) > LONGEST_CHANNEL or len(target) > LONGEST_TARGET:
        raise ValueError(f"is too long; a channel has at most {LONGEST_CHANNEL} characters, a target {LONGEST_TARGET}")
    return text


Target = Annotated[str, Field(max_length=LONGEST_CHANNEL + 1 + LONGEST_TARGET, examples=["ops"]), AfterValidator(check)]
MaybeTarget = Annotated[Target | None, BLANK_IS_NONE]
