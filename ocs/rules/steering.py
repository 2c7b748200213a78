"""Steering: what people say to a task's agent while it works: what they may say, how it is told, was it read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from ocs.errors import Refused
from ocs.rules.fence import fenced
from ocs.rules.plain_text import one_line, uncoloured, without_blank_ends
from ocs.rules.subagents import messages_in

LONGEST = 16 * 1024
"""Bytes of one steer."""
MOST_UNREAD = 20
"""So many may wait to be read, of one task."""
TOLD_AT_MOST = 2
"""Where nobody can say whether it was read, a steer is told so often."""
STEERED = (
    "A person says more about what you were asked. It comes from those who gave you the task, and holds where it "
    "contradicts what was said before. Mind it, go on with the task, and end with your result as you were asked to."
)
TOLD_BEFORE = "Some of it may have been told to you before; mind it once."


class SteerOutcome(StrEnum):
    """What became of a steer.

    PENDING: nobody has looked yet. HELD: the gateway does not take it while the turn goes on; it is told after that.
    SENT: it was told, and whether it was read is not known yet. READ: it is in the conversation. UNSURE: it was told,
    and the conversation cannot be looked at. UNHEARD: the task has ended before it was told.
    """

    PENDING = "pending"
    HELD = "held"
    SENT = "sent"
    READ = "read"
    UNSURE = "unsure"
    UNHEARD = "unheard"


WAITING = (SteerOutcome.PENDING, SteerOutcome.HELD)


class Fate(StrEnum):
    """What is to be done about a steer before the next turn."""

    TELL = "tell"
    READ = "read"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Words:
    """What a person said, and how often the agent was told it."""

    id: UUID
    text: str
    actor: str
    told: int = 0


def checked_steer(text: str) -> str:
    """What a person says to an agent, cleaned.

    Raises:
        Refused: it is empty, no text, or too long.
    """
    if "\0" in text:
        raise Refused("That is not text: it has a NUL character.")
    cleaned = without_blank_ends(uncoloured(text))
    if not cleaned:
        raise Refused("There is nothing to say.", hint="Give the text, or - for standard input.")
    if (length := len(cleaned.encode())) > LONGEST:
        raise Refused(
            f"That has {length:,} bytes; an agent is told {LONGEST:,} at once.", hint="Put it into a file, and name it."
        )
    return cleaned


def steered(words: Sequence[Words]) -> str:
    """How an agent is told what people say: each in a fence that names who it was, and a mark to find it by."""
    fences = [fenced(f"{mark(each.id)} of {one_line(each.actor, 80)}", each.text, of="words") for each in words]
    again = [TOLD_BEFORE] if any(each.told for each in words) else []
    return "\n\n".join([STEERED, *again, *fences])


def mark(steer: UUID) -> str:
    """What a steer is found by in a conversation."""
    return f"steer {steer.hex[:12]}"


def marks_in(message: Mapping[str, Any], steers: Collection[UUID]) -> set[UUID]:
    """Those of the steers that a message of a session tells its agent; what the agent itself says tells nothing."""
    if message.get("role") != "user":
        return set()
    said = str(message.get("content"))
    return {steer for steer in steers if mark(steer) in said}


def found_in(history: Mapping[str, Any], steers: Collection[UUID], *, limit: int) -> dict[UUID, bool | None]:
    """Whether each steer stands in a session's history of at most `limit` messages; None: it may stand before those."""
    messages = messages_in(history)
    found = {steer for message in messages for steer in marks_in(message, steers)}
    absent = False if len(messages) < limit else None
    return {steer: True if steer in found else absent for steer in steers}


def fate(told: int, found: bool | None, *, trusted: bool) -> Fate:
    """What is to be done about a steer that was told so often and stands in the conversation, or not (None: unknown).

    `trusted` says that the gateway has taken it live, which its history does not show, and the turn has ended well.
    """
    if told == 0:
        return Fate.TELL
    if found or trusted:
        return Fate.READ
    if found is False:
        return Fate.TELL
    return Fate.TELL if told < TOLD_AT_MOST else Fate.UNSURE
