"""A delivery to a reader of messages: `inbox:main` has the next turn of that agent hear of it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_OID, uuid5

from blocks.transport import Part, Undelivered
from ocs.errors import Refused
from ocs.rules.messages import Draft, Kind
from ocs.rules.parts import Limit
from ocs.rules.shell_result import cut
from ocs.rules.tasks import INBOX
from ocs.spec.target import InChannel, address
from ocs.store import Store, messages
from tasks.adapter import runtime

MOST = 60_000
"""Bytes of a message's text; a little more is allowed."""


def reader_of(target: str) -> str | None:
    """Whose inbox a target is, None for one that goes elsewhere."""
    found = address(target)
    return found.recipient if isinstance(found, InChannel) and found.channel == INBOX else None


@dataclass(frozen=True, slots=True)
class InboxTransport:
    """Writes into the store, under an id that is made from the part's key: written again, it is the same message."""

    store: Store
    reader: str
    limit: Limit | None = None
    has_subject: bool = True
    takes_images: bool = False

    async def send(self, part: Part) -> None:
        """Put it into the inbox.

        Raises:
            Undelivered: it is no message that anybody can read.
        """
        draft = Draft(
            sender=str(part.about.get("job") or "scheduler"),
            recipient=self.reader,
            body=cut(part.text, MOST),
            kind=Kind.RESULT,
            subject=part.subject,
            metadata={key: value for key, value in part.about.items() if isinstance(value, str | int)},
        )
        try:
            await messages.send(self.store, draft, now=runtime.clock(), message_id=uuid5(NAMESPACE_OID, part.key))
        except Refused as refused:
            raise Undelivered(refused.message, hint=refused.hint, retryable=False) from refused
