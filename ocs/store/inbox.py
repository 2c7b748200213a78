"""Inboxes: the messages for a reader, and giving them to an agent's turn.

A turn that is shown a message holds it while its run goes on, so that no second turn does the same task beside it. The
hold is a receipt that counts only while its run is running: a failure, a cancel or a crash that recovery finds returns
the message to the inbox, and only a turn that ends well takes it out.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.messages import (
    AT_ONCE,
    BROADCAST,
    FIRST_KINDS,
    FIRST_PRIORITIES,
    NOT_PENDING,
    READ_EVENTS,
    TEAM,
    Event,
    InboxMessage,
    shown_again_at,
)
from ocs.store.engine import Store
from ocs.store.running import is_running
from ocs.store.tables import Run
from ocs.store.tables_messages import Message, MessageReceipt
from ocs.store.tables_teams import TeamMember

IN_ORDER = (
    case({kind: place for place, kind in enumerate(FIRST_KINDS)}, value=col(Message.kind), else_=len(FIRST_KINDS)),
    case({priority: place for place, priority in enumerate(FIRST_PRIORITIES)}, value=col(Message.priority)),
    col(Message.created_at),
    col(Message.id),
)
"""Of an inbox: by kind, then by priority, then the oldest first."""


async def inbox(
    store: Store, reader: str, *, now: datetime, delivered: bool = False, everything: bool = False, limit: int = 50
) -> list[Message]:
    """What waits for a reader, broadcasts included; with `delivered` what a turn was shown, too.

    `everything` adds what was read and what has expired.
    """
    wanted = select(Message).where(_addressed_to(reader)).order_by(*IN_ORDER).limit(limit)
    if not everything:
        done = READ_EVENTS if delivered else NOT_PENDING
        wanted = wanted.where(_not_expired(now), ~_has(reader, done))
    async with store.reading() as session:
        return list(await session.scalars(wanted))


async def unread(store: Store, reader: str, *, now: datetime) -> int:
    """How many messages a reader has not read, delivered ones included."""
    count = select(func.count()).select_from(Message).where(*_is_unread(reader, now))
    async with store.reading() as session:
        return (await session.scalars(count)).one()


async def read_all(store: Store, reader: str, *, login: str, now: datetime) -> int:
    """Note that somebody has read all that waits for a reader, or was shown to a turn; returns how many that were."""
    wanted = select(Message.id).where(*_is_unread(reader, now))
    async with store.transaction() as session:
        ids = list(await session.scalars(wanted))
        session.add_all(
            MessageReceipt(message_id=each, reader=reader, event=Event.READ, at=now, actor=login) for each in ids
        )
    return len(ids)


async def take(store: Store, reader: str, run_id: UUID, *, now: datetime) -> list[InboxMessage]:
    """Show a turn the first messages that wait for its agent; the run holds them from then on, while it goes on.

    Asked again for the same run it gives the same.
    """
    waiting = _waiting(reader, run_id, now)
    async with store.reading() as session:
        if not (await session.scalars(waiting.limit(1))).all():
            return []  # nearly always: nothing is written then
    async with store.transaction(lock=(f"inbox:{reader}",)) as session:
        taken = list(await session.scalars(_held_by(reader, run_id)))
        if not taken:
            taken = list(await session.scalars(waiting.limit(AT_ONCE)))
            session.add_all(_receipt(message.id, reader, run_id, now) for message in taken)
        return [_shown(message, reader) for message in taken]


async def note_outcome(session: AsyncSession, run_id: UUID, result: DispatchResult, now: datetime) -> None:
    """What becomes of the messages that a turn was shown, in the transaction that ends its run.

    A turn that went well delivers them. Of one that was snoozed, or that the gateway refused, nothing is noted: its
    agent has seen nothing. Any other end leaves them where they were, and a failure counts.
    """
    shown = select(MessageReceipt).where(MessageReceipt.run_id == run_id, MessageReceipt.event == Event.ATTEMPT)
    for receipt in list(await session.scalars(shown)):
        if result.status is RunStatus.OK:
            receipt.event, receipt.at = Event.DELIVERED, now
        elif result.retry_in is not None or not result.retryable:
            await session.delete(receipt)
        elif result.status in (RunStatus.ERROR, RunStatus.TIMEOUT):
            failed_turns = await _failed_turns(session, receipt) + 1
            receipt.event, receipt.at, receipt.detail = Event.ERROR, now, result.error
            receipt.not_before = shown_again_at(failed_turns, now)


async def shown_to(store: Store, run_id: UUID) -> list[tuple[Message, MessageReceipt]]:
    """The messages that a run's turn was shown, and what became of them with it."""
    wanted = (
        select(Message, MessageReceipt)
        .join(MessageReceipt, col(MessageReceipt.message_id) == col(Message.id))
        .where(MessageReceipt.run_id == run_id)
        .order_by(*IN_ORDER)
    )
    async with store.reading() as session:
        return [(message, receipt) for message, receipt in (await session.execute(wanted)).all()]


def _waiting(reader: str, run_id: UUID, now: datetime) -> SelectOfScalar[Message]:
    """What a turn may be shown: pending, held by no other run, and not stepping aside."""
    return (
        select(Message)
        .where(
            _addressed_to(reader),
            _not_expired(now),
            ~_has(reader, NOT_PENDING),
            ~_is_held(reader, besides=run_id),
            ~_steps_aside(reader, now),
        )
        .order_by(*IN_ORDER)
    )


def _held_by(reader: str, run_id: UUID) -> SelectOfScalar[Message]:
    return (
        select(Message)
        .join(MessageReceipt, col(MessageReceipt.message_id) == col(Message.id))
        .where(MessageReceipt.reader == reader, MessageReceipt.run_id == run_id, MessageReceipt.event == Event.ATTEMPT)
        .order_by(*IN_ORDER)
    )


def _is_unread(reader: str, now: datetime) -> tuple[ColumnElement[bool], ...]:
    return _addressed_to(reader), _not_expired(now), ~_has(reader, READ_EVENTS)


def _addressed_to(reader: str) -> ColumnElement[bool]:
    of_team = exists().where(
        col(TeamMember.member) == reader, literal(TEAM) + col(TeamMember.team) == col(Message.recipient)
    )
    return or_(col(Message.recipient).in_((reader, BROADCAST)), of_team)


def _not_expired(now: datetime) -> ColumnElement[bool]:
    return or_(col(Message.expires_at).is_(None), col(Message.expires_at) > now)


def _has(reader: str, events: Sequence[Event]) -> ColumnElement[bool]:
    return exists().where(_is_of(reader), col(MessageReceipt.event).in_(events))


def _is_held(reader: str, *, besides: UUID) -> ColumnElement[bool]:
    return exists().where(
        _is_of(reader),
        col(MessageReceipt.event) == Event.ATTEMPT,
        col(MessageReceipt.run_id) != besides,
        col(Run.id) == col(MessageReceipt.run_id),
        is_running(),
    )


def _steps_aside(reader: str, now: datetime) -> ColumnElement[bool]:
    return exists().where(_is_of(reader), col(MessageReceipt.not_before) > now)


def _is_of(reader: str) -> ColumnElement[bool]:
    return and_(col(MessageReceipt.message_id) == col(Message.id), col(MessageReceipt.reader) == reader)


async def _failed_turns(session: AsyncSession, receipt: MessageReceipt) -> int:
    count = select(func.count()).select_from(MessageReceipt)
    same = (MessageReceipt.message_id == receipt.message_id, MessageReceipt.reader == receipt.reader)
    return (await session.scalars(count.where(*same, MessageReceipt.event == Event.ERROR))).one()


def _receipt(message_id: UUID, reader: str, run_id: UUID, now: datetime) -> MessageReceipt:
    return MessageReceipt(message_id=message_id, reader=reader, event=Event.ATTEMPT, at=now, run_id=run_id)


def _shown(message: Message, reader: str) -> InboxMessage:
    ack = f"ocs messages ack {message.id.hex[:8]} --by {shlex.quote(reader)}" if message.ack_by else None
    return InboxMessage(
        message.id,
        message.sender,
        message.recipient,
        message.kind,
        message.subject,
        message.body,
        message.owner,
        ack,
    )
