"""Messages between agents, jobs and people: what they may hold, in which order they wait, how a prompt tells them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from ocs.errors import Refused
from ocs.rules.plain_text import one_line, plain, uncoloured, without_blank_ends

BROADCAST = "broadcast"
"""The recipient that stands for every reader."""
TEAM = "team:"
"""How the recipients begin that stand for all members of a team."""
BROADCAST_WAITS = timedelta(days=30)
"""What has several readers always has one to come, so it ends some time, whether its sender said when or not."""
AT_ONCE = 5
"""How many messages a turn is shown."""
EXCERPT = 500
"""Characters of a body that a prompt shows."""
LONGEST_NAME = 128
LONGEST_SUBJECT = 200
LONGEST_DETAIL = 2000
LONGEST_BODY = 64 * 1024
LONGEST_METADATA = 16 * 1024
"""Characters of a name, a subject and a detail, bytes of a body and of metadata."""
PATIENT_UNTIL = 3
"""So many turns may fail in which a message was shown before it steps aside for a while."""
STEPS_ASIDE, STEPS_ASIDE_AT_MOST = timedelta(minutes=10), timedelta(days=1)


class Kind(StrEnum):
    """What a message is. SPAWN is a word like the others: nothing is ever started because of a message."""

    TEXT = "text"
    TASK = "task"
    RESULT = "result"
    STATUS = "status"
    SYSTEM = "system"
    SPAWN = "spawn"
    DECISION = "decision"
    CONSTRAINT = "constraint"
    FACT = "fact"
    PREFERENCE = "preference"


class Priority(StrEnum):
    """How much a message presses among those of its kind."""

    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Event(StrEnum):
    """What became of a message with one reader.

    ATTEMPT: a turn is shown it. That turn ended well: DELIVERED, or failed: ERROR. READ and ACK are told by somebody.
    """

    ATTEMPT = "attempt"
    ERROR = "error"
    DELIVERED = "delivered"
    READ = "read"
    ACK = "ack"


class Status(StrEnum):
    """How a message stands for one reader."""

    PENDING = "pending"
    DELIVERED = "delivered"
    READ = "read"
    EXPIRED = "expired"


FIRST_KINDS = (Kind.CONSTRAINT, Kind.DECISION, Kind.FACT, Kind.TASK, Kind.PREFERENCE)
"""In this order, before all others."""
FIRST_PRIORITIES = (Priority.URGENT, Priority.HIGH, Priority.NORMAL)
UNLABELLED = (Kind.TEXT, Kind.RESULT, Kind.STATUS, Kind.SYSTEM, Kind.SPAWN)
READ_EVENTS = (Event.READ, Event.ACK)
NOT_PENDING = (Event.DELIVERED, *READ_EVENTS)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message as somebody wants to send it."""

    sender: str
    recipient: str
    body: str
    kind: Kind = Kind.TEXT
    priority: Priority = Priority.NORMAL
    subject: str = ""
    owner: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    reply_to: UUID | None = None
    expires_at: datetime | None = None
    ack_by: datetime | None = None
    """Until when each of its readers has to acknowledge it; `overdue_to` are told otherwise, else the sender."""
    overdue_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """What a turn is shown of a message."""

    id: UUID
    sender: str
    recipient: str
    kind: Kind
    subject: str
    body: str
    owner: str | None = None
    ack: str | None = None
    """How its reader says that it was taken care of, where that has to be said."""


def has_several_readers(recipient: str) -> bool:
    """Whether a message to it stands differently for each of its readers: all of them, or those of a team."""
    return recipient == BROADCAST or recipient.startswith(TEAM)


def checked(draft: Draft, now: datetime) -> Draft:
    """The message as it is kept: no colours, no control characters, and an end where it needs one.

    Raises:
        Refused: something is missing, too long, no text, or over already.
    """
    if draft.expires_at is not None and draft.expires_at.tzinfo is None:
        raise Refused("The moment of expiry has no time zone.", hint="Give an aware one: datetime.now(UTC) + ...")
    if draft.expires_at is not None and draft.expires_at <= now:
        raise Refused("The message would have expired already.", hint="Give a moment to come, or 2h, 7d.")
    if draft.ack_by is not None and draft.ack_by <= now:
        raise Refused("The time to acknowledge it would be over already.", hint="Give a time to come: 2h, 1d.")
    recipient = checked_name("recipient", draft.recipient)
    if draft.ack_by is not None and recipient == BROADCAST:
        raise Refused(
            "Nobody knows who all readers of a broadcast are, so none can be overdue.",
            hint="Send it to an agent, or to a team: --to team:docs",
        )
    return replace(
        draft,
        sender=checked_name("sender", draft.sender),
        recipient=recipient,
        owner=checked_name("owner", draft.owner) if draft.owner is not None else None,
        subject=_subject(draft.subject),
        body=_body(draft.body),
        metadata=_metadata(draft.metadata),
        expires_at=draft.expires_at or (now + BROADCAST_WAITS if has_several_readers(recipient) else None),
    )


def checked_name(what: str, name: str) -> str:
    """Who sends, gets, reads or owns a message, cleaned.

    Raises:
        Refused: it is empty, longer than 128 characters, or more than plain text on a line.
    """
    cleaned = name.strip()
    if not cleaned:
        raise Refused(f"The {what} is empty.", hint="Give a name, such as main.")
    if plain(cleaned) != cleaned or len(cleaned.splitlines()) > 1 or "\t" in cleaned:
        raise Refused(f"The {what} has control characters or more than one line.", hint="Give just a name.")
    return _not_longer(what, cleaned, len(cleaned), LONGEST_NAME, "characters")


def checked_detail(detail: str | None) -> str | None:
    """What was done about a message, cleaned; None when nobody said.

    Raises:
        Refused: it is longer than 2,000 characters.
    """
    cleaned = uncoloured(detail or "").strip()
    return _not_longer("detail", cleaned, len(cleaned), LONGEST_DETAIL, "characters") or None


def metadata_of(text: str) -> dict[str, Any]:
    """A JSON object for programs, kept with a message.

    Raises:
        Refused: it is no JSON object, or larger than 16 KiB.
    """
    _not_longer("metadata", text, len(text.encode(errors="replace")), LONGEST_METADATA, "bytes")
    try:
        found = json.loads(text)
        json.dumps(found, allow_nan=False)  # Python reads NaN and 1e999, and databases take neither
    except (ValueError, RecursionError) as wrong:
        raise Refused(f"The metadata is not JSON: {wrong}", hint='Write an object: {"ticket": 42}') from wrong
    if not isinstance(found, dict):
        raise Refused("The metadata is JSON, but no object.", hint='Write an object: {"ticket": 42}')
    return cast("dict[str, Any]", found)


def _metadata(given: object) -> dict[str, Any]:
    """As it comes back from a database: keys are text, tuples are lists."""
    try:
        text = json.dumps(given, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as wrong:
        raise Refused(f"The metadata is not JSON: {wrong}", hint='Give an object: {"ticket": 42}') from wrong
    _not_longer("metadata", text, len(text.encode(errors="replace")), LONGEST_METADATA, "bytes")
    return cast("dict[str, Any]", json.loads(text))


def status_of(events: Collection[Event], expires_at: datetime | None, now: datetime) -> Status:
    """How a message stands for the reader whose receipts tell these events."""
    if any(event in events for event in READ_EVENTS):
        return Status.READ
    if Event.DELIVERED in events:
        return Status.DELIVERED
    return Status.EXPIRED if expires_at is not None and expires_at <= now else Status.PENDING


def shown_again_at(failed_turns: int, now: datetime) -> datetime | None:
    """Before which moment a message is not shown again, after so many failed turns that were shown it; None: at once.

    A message that makes every turn fail must not be in every turn. It steps aside for longer and longer, at
    most a day, and is never given up: that the turns failed may have had another reason.
    """
    if failed_turns < PATIENT_UNTIL:
        return None
    doubled = min(failed_turns - PATIENT_UNTIL, 16)  # so that the number stays one that a duration can be
    return now + min(STEPS_ASIDE * 2**doubled, STEPS_ASIDE_AT_MOST)


def told(message: InboxMessage) -> str:
    """The message in a prompt; where it is cut it says how to get at the rest."""
    lines = [f"{message.sender} | {message.kind} | {message.subject or '(no subject)'}"]
    if message.kind not in UNLABELLED:
        lines.append(f"[{message.kind}] owner: {message.owner}" if message.owner else f"[{message.kind}]")
    lines.append(message.body[:EXCERPT])
    if message.ack is not None:
        lines.append(f"[its sender waits for an acknowledgement: {message.ack}]")
    if (rest := len(message.body) - EXCERPT) > 0:
        lines.append(f"[... {rest:,} more characters: ocs messages show {message.id.hex[:8]}]")
    return "\n".join(lines)


def overdue_text(
    message_id: UUID, recipient: str, about: str, missing: Sequence[str], ack_by: datetime
) -> tuple[str, str]:
    """Subject and text of what is told when a message was not acknowledged in time."""
    who = f"{len(missing)} of the team {recipient.removeprefix(TEAM)}" if recipient.startswith(TEAM) else recipient
    subject = f"Not acknowledged by {who}: {one_line(about, 80)}"
    short = message_id.hex[:8]
    body = (
        f"To be acknowledged by {ack_by:%Y-%m-%d %H:%M:%S} UTC. Missing: {', '.join(missing)}.\n\n"
        f"See: ocs messages show {short}"
    )
    return subject, body


def _subject(subject: str) -> str:
    cleaned = one_line(uncoloured(subject), len(subject) + 1)
    return _not_longer("subject", cleaned, len(cleaned), LONGEST_SUBJECT, "characters")


def _body(body: str) -> str:
    if "\0" in body:
        raise Refused("The body is not text: it has a NUL character.", hint="Put it into a file, and send its name.")
    cleaned = without_blank_ends(uncoloured(body))
    if not cleaned:
        raise Refused("The message is empty.", hint="Give its text, or - to read it from standard input.")
    return _not_longer("body", cleaned, len(cleaned.encode()), LONGEST_BODY, "bytes")


def _not_longer(what: str, text: str, length: int, longest: int, unit: str) -> str:
    if length > longest:
        raise Refused(f"The {what} has {length:,} {unit}; at most {longest:,} are kept.", hint="Shorten it.")
    return text
