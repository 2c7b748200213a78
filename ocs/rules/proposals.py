"""Proposals: what a document may hold on which a person shall decide, and how its difference is shown."""

from __future__ import annotations

import difflib
from enum import StrEnum

from ocs.errors import Refused
from ocs.rules.plain_text import plain, revealed

MOST_BYTES = 64 * 1024
MOST_LINES = 2000
"""More than a person reads before saying yes."""
LONGEST_WHY = 2000
LONGEST_REASON = 1000
AROUND = 3
"""Unchanged lines shown around a change."""


class ProposalStatus(StrEnum):
    """How a proposal stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


def checked_document(text: str, what: str = "The document") -> str:
    """A document that a person can read before deciding, and that ends with a line's end.

    Raises:
        Refused: it is too long for that.
    """
    size, lines = len(text.encode(errors="replace")), text.count("\n") + 1
    if size > MOST_BYTES:
        raise Refused(f"{what} has {size:,} bytes, and {MOST_BYTES:,} are allowed: a person has to read it.")
    if lines > MOST_LINES:
        raise Refused(f"{what} has {lines:,} lines, and {MOST_LINES:,} are allowed: a person has to read it.")
    return text if text.endswith("\n") else f"{text}\n"


def checked_words(what: str, text: str, longest: int) -> str:
    """Words for a person, cleaned.

    Raises:
        Refused: they are too long.
    """
    said = plain(text).strip()
    if len(said) > longest:
        raise Refused(f"The {what} has {len(said):,} characters, and {longest:,} are allowed.")
    return said


def difference(job_id: str, before: str | None, after: str) -> str:
    """What would change in a job's file, as a unified diff in which nothing is hidden."""
    named = (f"{job_id}.yaml" if before is not None else "(no file)", f"{job_id}.yaml, proposed")
    lines = difflib.unified_diff((before or "").splitlines(), after.splitlines(), *named, n=AROUND, lineterm="")
    return revealed("\n".join(lines))
