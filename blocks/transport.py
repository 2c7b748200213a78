"""Transports: each sends a part to somebody, and returns when it was acknowledged, or raises whether to try again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ocs.errors import OcsError
from ocs.rules.parts import Limit
from ocs.timing import timing


class Undelivered(OcsError):
    """A part did not arrive. `retryable` says that it may later, `retry_after` when the other side said so."""

    code: ClassVar[str] = "undelivered"

    def __init__(
        self, message: str, *, hint: str | None = None, retryable: bool = True, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retryable = retryable
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Part:
    """One message. `key` is the same whenever this part is sent, so that a receiver knows a repetition.

    `about` says for programs what it is: the job, the run, which part of how many. With `markdown` the text is
    written in it, and may be shown so; otherwise exactly the text is to be seen.
    """

    key: str
    subject: str
    text: str
    image: Path | None = None
    markdown: bool = False
    about: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Transport(Protocol):
    """One way of sending."""

    @property
    def limit(self) -> Limit | None:
        """The longest text, None when it does not matter."""
        ...

    @property
    def has_subject(self) -> bool:
        """Whether the subject goes beside the text; else it is its first line."""
        ...

    @property
    def takes_images(self) -> bool:
        """Whether an image can be attached; else the text says where it is."""
        ...

    async def send(self, part: Part) -> None:
        """Send one part; returning means that it was acknowledged.

        Raises:
            Undelivered: it was not.
        """
        ...


@contextlib.asynccontextmanager
async def patience(who: str) -> AsyncGenerator[None]:
    """Bound the time for one part.

    Raises:
        Undelivered: it is over.
    """
    try:
        async with asyncio.timeout(timing().part.total_seconds()):
            yield
    except TimeoutError as slow:
        raise Undelivered(f"{who} took too long to answer.") from slow
