"""Acknowledgements that are required: until when, who has not given one, and telling of those once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound
from ocs.rules.messages import TEAM, Event, overdue_text
from ocs.rules.tasks import INBOX
from ocs.store import deliveries
from ocs.store.engine import Store
from ocs.store.tables_messages import Message, MessageReceipt
from ocs.store.teams import members_of

KIND = "message"
"""What the delivery reports, and whose it is in the queue."""
OF = "messages"


async def due(store: Store, now: datetime) -> list[UUID]:
    """The messages whose time to be acknowledged is over, and of which nobody has looked who has done it."""
    over = select(Message.id).where(col(Message.ack_by) <= now, col(Message.ack_settled_at).is_(None))
    async with store.reading() as session:
        return list(await session.scalars(over.order_by(col(Message.ack_by))))


async def settle(store: Store, message_id: UUID, now: datetime) -> Sequence[str]:
    """Tell of those who have not acknowledged a message in time, once; returns who they are."""
    async with store.transaction() as session:
        message = await session.get(Message, message_id, with_for_update=True)
        if message is None or message.ack_settled_at is not None:
            return ()
        message.ack_settled_at = now
        missing = await _missing(session, message)
        if missing:
            subject, body = overdue_text(
                message.id, message.recipient, message.subject or message.body, missing, message.ack_by or now
            )
            deliveries.enqueue(
                session,
                job_id=OF,
                run_id=None,
                targets=message.overdue_to or [f"{INBOX}:{message.sender}"],
                subject=subject,
                body=body,
                kind=KIND,
                dedup=f"overdue:{message.id}",
                now=now,
            )
        return missing


async def missing(store: Store, messages: Sequence[Message]) -> dict[UUID, list[str]]:
    """Of each message that has to be acknowledged, who has not done it yet."""
    async with store.reading() as session:
        return {message.id: await _missing(session, message) for message in messages if message.ack_by is not None}


async def of_team(store: Store, team: str, *, limit: int = 50) -> list[Message]:
    """What was sent to a team, newest first."""
    newest_first = select(Message).where(Message.recipient == TEAM + team).order_by(col(Message.created_at).desc())
    async with store.reading() as session:
        return list(await session.scalars(newest_first.limit(limit)))


async def _missing(session: AsyncSession, message: Message) -> list[str]:
    readers = [message.recipient]
    if message.recipient.startswith(TEAM):
        try:
            readers = await members_of(session, message.recipient.removeprefix(TEAM))
        except NotFound:  # the team has been removed since
            readers = []
    acked = select(MessageReceipt.reader).where(
        MessageReceipt.message_id == message.id, MessageReceipt.event == Event.ACK
    )
    done = set(await session.scalars(acked))
    return [reader for reader in readers if reader not in done]
