"""Kinds of delivery targets: what each needs of the block's fields, and what sends to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from blocks.transport import Transport
from ocs.extensions import TRANSPORTS, Extensions


class Fields(Protocol):
    """What a person has filled in (blocks/target.py). Each kind takes of it what it needs; the rest is empty."""

    channel: str
    recipient: str
    url: SecretStr
    secret: SecretStr
    block: str


def _takes_all(_target: Fields) -> None:
    """Whatever is filled in is good."""


@dataclass(frozen=True, slots=True)
class TargetKind:
    """A kind of target. `needs` are the fields that may not be empty.

    `transport` gives what sends to a target. `where` says in a few words where it goes, without what is secret, and
    `check` raises a ValueError, in a sentence, for one that cannot work.
    """

    needs: tuple[str, ...]
    where: Callable[[Fields], str]
    transport: Callable[[Fields], Awaitable[Transport]]
    check: Callable[[Fields], None] = _takes_all


def _check(_name: str, kind: TargetKind) -> None:
    if unknown := set(kind.needs) - set(Fields.__annotations__):
        raise ValueError(f"it needs {', '.join(sorted(unknown))}, which no target has")


KINDS = Extensions(
    TRANSPORTS,
    "kind of target",
    TargetKind,
    {
        "gateway": "blocks.gateway_transport:GATEWAY",
        "webhook": "blocks.webhook_transport:WEBHOOK",
        "notification": "blocks.notification_transport:NOTIFICATION",
        "apprise": "blocks.notification_transport:APPRISE",
    },
    _check,
)
