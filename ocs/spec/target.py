"""Where a delivery goes: a DeliveryTarget block, a channel of the gateway, or a notification block of Prefect."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ocs.spec.values import ALSO, BLANK_IS_NONE
from ocs.spec.written import no_control_characters, quoted

LONGEST_CHANNEL = 64
LONGEST_TARGET = 256
_BLOCK = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Named:
    """A DeliveryTarget block, which a person can edit: `ops`."""

    name: str


@dataclass(frozen=True, slots=True)
class InChannel:
    """A recipient in a channel of the OpenClaw gateway: `telegram:12345`."""

    channel: str
    recipient: str


@dataclass(frozen=True, slots=True)
class NotificationBlock:
    """A notification block of Prefect by its type and name: `slack-webhook/ops`."""

    block: str


Address = Named | InChannel | NotificationBlock


def address(text: str) -> Address:
    """What a target means.

    Raises:
        ValueError: it is none of the three forms, or too long.
    """
    no_control_characters(text)
    channel, colon, recipient = (part.strip() for part in text.partition(":"))
    if not colon:
        return _block(text)
    if not channel or not recipient:
        raise ValueError(f"{quoted(text)} has an empty side; write channel:target")
    if len(channel) > LONGEST_CHANNEL or len(recipient) > LONGEST_TARGET:
        raise ValueError(f"is too long; a channel has at most {LONGEST_CHANNEL} characters, a target {LONGEST_TARGET}")
    return InChannel(channel, recipient)


def _block(text: str) -> Named | NotificationBlock:
    kind, slash, name = text.partition("/")
    if slash and _BLOCK.fullmatch(kind) and _BLOCK.fullmatch(name):
        return NotificationBlock(text)
    if not slash and _BLOCK.fullmatch(text.removeprefix("@")):
        return Named(text.removeprefix("@"))
    raise ValueError(
        f"{quoted(text)} is no target; name a DeliveryTarget block (such as ops-room), channel:target, "
        "or a notification block (such as slack-webhook/ops)"
    )


def _checked(text: str) -> str:
    found = address(text)
    return found.name if isinstance(found, Named) else text


Target = Annotated[
    str, Field(max_length=LONGEST_CHANNEL + 1 + LONGEST_TARGET, examples=["ops"]), AfterValidator(_checked)
]
MaybeTarget = Annotated[Target | None, BLANK_IS_NONE]
MOST_TARGETS = 20


def _several(value: Any) -> Any:
    """One may be written without a list."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    return [value] if isinstance(value, str) else value


def _each_once(targets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(targets))


Targets = Annotated[
    tuple[Target, ...],
    BeforeValidator(_several),
    Field(max_length=MOST_TARGETS, json_schema_extra={ALSO: {"type": "string"}}),
    AfterValidator(_each_once),
]
"""None, one or several targets."""
