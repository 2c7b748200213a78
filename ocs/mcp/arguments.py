"""Arguments that several tools share; what stands here is what a caller reads of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ocs.service.moments import moment

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
        UsageError: it is neither, or too far away.
    """
    return moment("since", text, -1)
