"""Arguments that several tools share; what stands here is what a caller reads of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ocs.errors import UsageError
from ocs.service import session
from ocs.spec import parse_duration

LONGEST_ID = 200
LONGEST_TEXT = 500_000

JobId = Annotated[str, Field(max_length=LONGEST_ID, description="The job's id, or the beginning of it.")]
SomeJobId = Annotated[
    str | None, Field(max_length=LONGEST_ID, description="Only of this job; its id, or the beginning of it.")
]
RunId = Annotated[
    str,
    Field(
        max_length=LONGEST_ID,
        description="The id of a run or of its dispatch, or 8 characters of one; or a job's, for its newest run.",
    ),
]
Label = Annotated[str, Field(max_length=LONGEST_ID, description="The task's label.")]
Limit = Annotated[int, Field(ge=1, le=100, description="How many at most.")]


def since(text: str) -> datetime:
    """A moment, given as such or as so long ago.

    Raises:
        UsageError: it is neither.
    """
    try:
        return session.now() - parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise UsageError(f'since "{text[:100]}": write 2h, 7d or a moment such as 2026-11-24T08:00') from None
