"""Sending by what speaks hundreds of services already: a notification block of Prefect, or an address of Apprise."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.logging import LogEavesdropper
from prefect.types import SecretDict
from pydantic import SecretStr

from blocks import image
from blocks.kind import Fields, TargetKind
from blocks.transport import Part, Transport, Undelivered, patience
from ocs.rules.masking import mask
from ocs.rules.parts import TELEGRAM, Limit
from ocs.rules.plain_text import one_line
from ocs.spec.target import NotificationBlock as NamedBlock
from ocs.spec.target import address

LARGEST_IMAGE = 8 * 1024**2
LONGEST_SUBJECT = 128
"""Units that the subject takes of a message in which there is no place of its own for it."""
SHOWN = 300
SHORTEST_SECRET = 6
_PIECES = re.compile(r"[/:@?&=]+")


class NotificationTransport:
    """Through a block such as slack-webhook/ops. It takes a subject and a text, and no image."""

    limit = None
    has_subject = True
    takes_images = False

    def __init__(self, block: NotificationBlock, name: str) -> None:
        self._block = block
        self._name = name

    @classmethod
    async def load(cls, name: str) -> NotificationTransport:
        """The block of that type and name.

        Raises:
            Undelivered: there is none (now), it is no notification block, or it cannot be read here.
        """
        import prefect.blocks.notifications  # noqa: F401  # pyright: ignore[reportUnusedImport]  makes its types known

        try:
            block: Any = await Block.aload(name)
        except ValueError as missing:
            hint = "Make it in the Prefect UI under Blocks, or change the target."
            raise Undelivered(f"There is no block {name}.", hint=hint) from missing
        except (KeyError, RuntimeError) as unreadable:
            hint = "Edit it in the Prefect UI; a type of another package has to be installed beside ocs."
            raise Undelivered(f"The block {name} cannot be read here.", hint=hint) from unreadable
        if not isinstance(block, NotificationBlock):
            raise Undelivered(f"The block {name} cannot send notifications.", retryable=False)
        return cls(block, name)

    async def send(self, part: Part) -> None:
        async with patience(self._name):
            try:
                with self._block.raise_on_failure():
                    sent: Any = self._block.notify(part.text, part.subject)
                    if inspect.isawaitable(sent):
                        await sent
            except Exception as failed:  # blocks of any package, with errors of their own
                raise _not_sent(self._name, failed, _secrets_of(self._block)) from failed


class AppriseTransport:
    """To an address as Apprise writes them: tgram://token/chat, mailto://..., and a hundred others."""

    has_subject = True
    takes_images = True

    def __init__(self, url: str) -> None:
        self._url = url
        self._service = url.partition(":")[0]
        self.limit = Limit(TELEGRAM.most - LONGEST_SUBJECT) if self._service == "tgram" else None

    async def send(self, part: Part) -> None:
        from apprise import Apprise, NotifyFormat

        sender: Any = Apprise()
        if not sender.add(self._url):
            raise Undelivered(f"Apprise cannot use this {self._service} address; correct it.", retryable=False)
        text, attached = part.text, None
        if part.image is not None:
            found = await asyncio.to_thread(image.read, part.image, LARGEST_IMAGE)
            text, attached = (found, None) if isinstance(found, str) else (part.text, _local(part.image))
        with LogEavesdropper("apprise", level=logging.WARNING) as log:
            async with patience(self._service):
                # Said to be plain, it is escaped where the service takes HTML; unsaid, `<` makes Telegram refuse it.
                sent = await sender.async_notify(
                    body=text, title=part.subject, attach=attached, body_format=NotifyFormat.TEXT
                )
        if not sent:
            raise _not_sent(self._service, NotificationError(log.text()), _PIECES.split(self._url))


async def _by_block(target: Fields) -> Transport:
    return await NotificationTransport.load(target.block)


def _check(target: Fields) -> None:
    if not isinstance(address(target.block), NamedBlock):
        raise ValueError("A notification block is named by its type and name, such as slack-webhook/ops.")


async def _by_apprise(target: Fields) -> Transport:
    return AppriseTransport(target.url.get_secret_value())


def _service(target: Fields) -> str:
    return f"{urlsplit(target.url.get_secret_value()).scheme}://..."


NOTIFICATION = TargetKind(("block",), lambda target: target.block, _by_block, _check)
APPRISE = TargetKind(("url",), _service, _by_apprise)


def _local(path: Path) -> str:
    """A path that Apprise does not take for an address."""
    return path.absolute().as_uri()


def _not_sent(name: str, failed: Exception, secrets: list[str]) -> Undelivered:
    """What went wrong in one line, without the sender's secrets."""
    if isinstance(failed, NotificationError):
        said = failed.log
    elif isinstance(failed, httpx.HTTPStatusError):
        said = f"HTTP {failed.response.status_code}"  # what it says by itself holds the address
    elif isinstance(failed, httpx.HTTPError):
        said = type(failed).__name__
    else:
        said = f"{type(failed).__name__}: {failed}"
    hidden = mask(said, [secret for secret in secrets if len(secret) >= SHORTEST_SECRET])
    return Undelivered(f"{name} did not take it: {one_line(hidden, SHOWN) or 'it does not say why'}")


def _secrets_of(block: Block) -> list[str]:
    """Every secret value in the block, and what it is made of: a part of an address may be a token."""
    values: list[str] = []
    for value in dict(block).values():
        if isinstance(value, SecretDict):
            values += [str(each) for each in value.get_secret_value().values()]
        elif isinstance(value, SecretStr):
            values.append(value.get_secret_value())
    return [piece for value in values for piece in (value, *_PIECES.split(value))]
