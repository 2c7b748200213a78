"""Messages as people and programs handle them: send, look up, read, acknowledge, and delete in the end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, exists, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound, Refused
from ocs.rules.messages import (
    BROADCAST,
    READ_EVENTS,
    TEAM,
    Draft,
    Event,
    Kind,
    checked,
    checked_detail,
    checked_name,
    has_several_readers,
)
from ocs.store.engine import Store
from ocs.store.shortened import SEVERAL, begins, the_one
from ocs.store.tables_messages import Message, MessageReceipt
from ocs.store.teams import members_of

READ_KEPT = timedelta(days=30)
DELIVERED_KEPT = timedelta(days=3)
"""After it was read or has expired, and after a turn was shown it."""
SHORTLIVED = (Kind.SYSTEM, Kind.RESULT)
"""Kinds that nobody asks for after those three days."""


async def send(store: Store, draft: Draft, *, now: datetime, message_id: UUID | None = None) -> Message:
    """Put a message into the inbox of its recipient, or of everyone; once, where its id is said.

    Raises:
        Refused: as `checked` does.
        NotFound: it answers a message, or is for a team, that is not there.
    """
    kept = checked(draft, now)
    async with store.transaction() as session:
        if message_id is not None and (there := await session.get(Message, message_id)) is not None:
            return there
        if kept.reply_to is not None and await session.get(Message, kept.reply_to) is None:
            raise NotFound(f"There is no message {kept.reply_to} to reply to; it may have been deleted since.")
        if kept.recipient.startswith(TEAM):
            await members_of(session, kept.recipient.removeprefix(TEAM))
        message = Message(
            id=message_id or uuid4(),
            sender=kept.sender,
            recipient=kept.recipient,
            kind=kept.kind,
            priority=kept.priority,
            subject=kept.subject,
            body=kept.body,
            owner=kept.owner,
            about=kept.metadata,
            reply_to=kept.reply_to,
            created_at=now,
            expires_at=kept.expires_at,
            ack_by=kept.ack_by,
            overdue_to=list(kept.overdue_to),
        )
        session.add(message)
        return message


async def by_prefix(store: Store, prefix: str) -> Message:
    """The message whose id begins so.

    Raises:
        NotFound: none does, or several do; they are named.
    """
    async with store.reading() as session:
        found = list(await session.scalars(select(Message).where(begins(col(Message.id), prefix)).limit(SEVERAL)))
    hint = "See them: ocs messages inbox main --all"
    return the_one(found, prefix, "message", by=lambda message: message.id, hint=hint)


async def outbox(store: Store, sender: str, *, limit: int = 50) -> list[Message]:
    """What somebody has sent, newest first."""
    newest_first = (col(Message.created_at).desc(), col(Message.id))
    async with store.reading() as session:
        sent = select(Message).where(Message.sender == sender).order_by(*newest_first).limit(limit)
        return list(await session.scalars(sent))


async def replies_to(store: Store, message_id: UUID) -> list[Message]:
    """The direct answers to a message, oldest first."""
    answers = select(Message).where(Message.reply_to == message_id)
    async with store.reading() as session:
        return list(await session.scalars(answers.order_by(col(Message.created_at), col(Message.id))))


async def receipts_of(store: Store, messages: Sequence[Message]) -> dict[UUID, list[MessageReceipt]]:
    """What became of each of these messages, oldest first."""
    found: dict[UUID, list[MessageReceipt]] = {message.id: [] for message in messages}
    wanted = select(MessageReceipt).where(col(MessageReceipt.message_id).in_(found))
    async with store.reading() as session:
        for receipt in await session.scalars(wanted.order_by(col(MessageReceipt.at), col(MessageReceipt.id))):
            found[receipt.message_id].append(receipt)
    return found


async def read(store: Store, message: Message, *, by: str | None, login: str, now: datetime) -> str:
    """Note that it was read, once; returns by which reader. `by` and `login` are as for `acknowledge`.

    Raises:
        Refused: as `acknowledge` does.
    """
    reader, actor = _who(message, by, login)
    same = select(MessageReceipt).where(MessageReceipt.message_id == message.id, MessageReceipt.reader == reader)
    async with store.transaction() as session:
        await _refuse_stranger(session, message, reader)
        if not (await session.scalars(same.where(col(MessageReceipt.event).in_(READ_EVENTS)).limit(1))).all():
            session.add(MessageReceipt(message_id=message.id, reader=reader, event=Event.READ, at=now, actor=actor))
    return reader


async def acknowledge(
    store: Store, message: Message, *, by: str | None, login: str, detail: str | None = None, now: datetime
) -> str:
    """Note an acknowledgement, each time anew, and of an expired message too; returns by which reader.

    `by` is who says so, by default who is logged in. Of a broadcast it names the reader; any other has only one.

    Raises:
        Refused: it has several readers and none is named, or one that it is not for; a name that is none, or a detail
            that is too long.
    """
    reader, actor = _who(message, by, login)
    receipt = MessageReceipt(message_id=message.id, reader=reader, event=Event.ACK, at=now, actor=actor)
    receipt.detail = checked_detail(detail)
    async with store.transaction() as session:
        await _refuse_stranger(session, message, reader)
        session.add(receipt)
    return reader


async def prune_messages(store: Store, *, now: datetime) -> int:
    """Delete what was read, shown or over long enough ago, with its receipts; returns how many messages.

    It never deletes an unread message, however old, nor one of which it is still to be looked who acknowledged it.
    """
    short, long = now - DELIVERED_KEPT, now - READ_KEPT
    waits = and_(col(Message.ack_by).is_not(None), col(Message.ack_settled_at).is_(None))
    past = or_(
        _ended_before(long),
        and_(col(Message.kind).in_(SHORTLIVED), _ended_before(short)),
        and_(_has((Event.DELIVERED,), before=short), ~_has(READ_EVENTS)),
    )
    async with store.transaction() as session:
        return int(getattr(await session.execute(delete(Message).where(past, ~waits)), "rowcount", 0))


def _who(message: Message, by: str | None, login: str) -> tuple[str, str]:
    """The reader whose receipt it is, and who writes it."""
    actor = checked_name("name", login if by is None else by)
    if not has_several_readers(message.recipient):
        return message.recipient, actor
    if by is None or has_several_readers(actor):
        what = "A broadcast" if message.recipient == BROADCAST else "A message to a team"
        raise Refused(f"{what} stands differently for each of its readers.", hint="Say for whom: --by main")
    return actor, actor


async def _refuse_stranger(session: AsyncSession, message: Message, reader: str) -> None:
    """What somebody else acknowledges would still be overdue."""
    if not message.recipient.startswith(TEAM):
        return
    team = message.recipient.removeprefix(TEAM)
    if reader not in (members := await members_of(session, team)):
        raise Refused(f'"{reader}" is no member of the team {team}.', hint=f"Its members: {', '.join(members)}")


def _ended_before(moment: datetime) -> ColumnElement[bool]:
    return or_(col(Message.expires_at) < moment, _has(READ_EVENTS, before=moment))


def _has(events: Sequence[Event], *, before: datetime | None = None) -> ColumnElement[bool]:
    """A receipt of the one reader it has; a broadcast has others to come, and ends when it expires."""
    of_its_reader = exists().where(
        col(MessageReceipt.message_id) == col(Message.id),
        col(MessageReceipt.reader) == col(Message.recipient),
        col(MessageReceipt.event).in_(events),
    )
    return of_its_reader if before is None else of_its_reader.where(col(MessageReceipt.at) < before)
