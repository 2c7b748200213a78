"""Targets: a block that a person edits in the UI, and what a job's `deliver.to` stands for."""

from __future__ import annotations

from typing import Any

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from blocks.gateway_transport import by_gateway
from blocks.kind import KINDS
from blocks.notification_transport import NotificationTransport
from blocks.transport import Transport, Undelivered
from ocs.errors import Unusable
from ocs.spec.target import InChannel, Named, NotificationBlock, address

NOTHING = SecretStr("")
MAKE_IT = "Make it: ocs targets add {name} --help, or in the Prefect UI under Blocks (type Delivery Target)."


def _with_choices(schema: dict[str, Any]) -> None:
    schema["enum"] = KINDS.names()


class DeliveryTarget(Block):
    """Where messages of jobs go. A job names it in `deliver.to`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # addresses hold tokens

    _block_type_name = "Delivery Target"
    _block_type_slug = "delivery-target"
    _description = "Whom jobs tell how they ended: a chat, a webhook, or anything that sends notifications."

    kind: str = Field(
        description="gateway: a chat of the OpenClaw gateway (channel, recipient). webhook: a signed POST (URL, "
        "secret). notification: a notification block of Prefect (block). apprise: an address of Apprise (URL).",
        json_schema_extra=_with_choices,
    )
    # Texts and not "text or nothing": of those the UI would make a field with a switch.
    channel: str = Field(default="", description="The gateway's channel, such as telegram.")
    recipient: str = Field(default="", description="Who or which chat in that channel.")
    url: SecretStr = Field(
        default=NOTHING,
        title="URL",
        description="https://... of a webhook, or an address of Apprise such as tgram://...",
    )
    secret: SecretStr = Field(default=NOTHING, description="Signs what a webhook is sent (HMAC-SHA256).")
    block: str = Field(default="", description="Type and name of a notification block: slack-webhook/ops.")
    note: str = Field(default="", description="For people: who this is.")

    @field_validator("channel", "recipient", "block", "note", "url", "secret", mode="before")
    @classmethod
    def _stripped(cls, value: object) -> object:
        """Nothing at all, as the API may send it, is an empty text too."""
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        return text.strip() if isinstance(text, str) else text or ""

    @model_validator(mode="after")
    def _is_complete(self) -> DeliveryTarget:
        try:
            kind = KINDS.get(self.kind)
        except Unusable:
            return self  # it can be read and edited; sending to it says what is wrong
        missing = [name for name in kind.needs if not getattr(self, name)]
        if missing:
            raise ValueError(f"A target of the kind {self.kind} needs {' and '.join(missing)}.")
        try:
            kind.check(self)
        except ValueError:
            raise
        except Exception as defect:
            raise ValueError(f"The kind {self.kind} could not check it ({type(defect).__name__}).") from None
        return self

    @property
    def where(self) -> str:
        """Where it goes, for people: without what is secret in it."""
        try:
            return KINDS.get(self.kind).where(self)
        except Exception:  # of a package that is not ours, in a list of all targets
            return "unknown here"


async def transport_of(target: DeliveryTarget) -> Transport:
    """What sends to it.

    Raises:
        Undelivered: something it needs is missing.
    """
    try:
        kind = KINDS.get(target.kind)
    except Unusable as unusable:
        raise Undelivered(unusable.message, hint=unusable.hint) from unusable
    return await kind.transport(target)


async def transport_to(target: str) -> Transport:
    """What sends to a target as a job names it: ops or @ops, telegram:12345, slack-webhook/ops.

    Raises:
        Undelivered: it does not exist (any more), or something it needs is missing.
    """
    match address(target):
        case Named(name):
            return await transport_of(await _load(name))
        case InChannel(channel, recipient):
            return await by_gateway(channel, recipient)
        case NotificationBlock(block):
            return await NotificationTransport.load(block)


async def _load(name: str) -> DeliveryTarget:
    try:
        return await DeliveryTarget.aload(name)
    except ValueError as missing:
        raise Undelivered(f'There is no delivery target "{name}".', hint=MAKE_IT.format(name=name)) from missing
    except RuntimeError as invalid:
        hint = "Edit it in the Prefect UI under Blocks."
        raise Undelivered(f'The delivery target "{name}" is not complete.', hint=hint) from invalid
