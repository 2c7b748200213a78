"""What an importer finds in another scheduler: its jobs as documents, and what of them cannot be carried over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ocs.rules.dispatch import DispatchKind

STAYS_OFF = "stays-off"
"""The tag of a job that switching over leaves disabled: it was off over there, or had a limit that it has not here."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What of a job is not carried over, or differs here: the field of the other program, and why."""

    field: str
    why: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands in the other program.

    `due` is its next occurrence, which has not been run, however long ago it was; `every` the interval after it.
    `since` is when it was changed last: where `due` is not known, nothing that was due later has been run. `busy`
    says what it does right now.
    """

    due: datetime | None = None
    every: timedelta | None = None
    since: datetime | None = None
    busy: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A job of the other program.

    `document` lacks the id, the aliases and, of a child, `after.job`: `parent` is the parent's id over there.
    """

    source_id: str
    name: str
    enabled: bool
    document: Mapping[str, Any]
    parent: str | None = None
    losses: tuple[Loss, ...] = ()
    standing: Standing = Standing()


@dataclass(frozen=True, slots=True)
class Had:
    """An occurrence that the other program has run, or begun."""

    source_id: str
    run_id: str
    due: datetime
    claimed_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """A dispatch of a job that has become no run over there. `is_taken` says that the other program may still do so."""

    id: str
    source_id: str
    kind: DispatchKind
    scheduled_for: datetime
    is_taken: bool
    source_run: str | None = None
    retry_of: str | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Left:
    """A job that is not carried over at all, and why."""

    source_id: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Address:
    """Whom jobs of the other program tell, under a name that a job document may use.

    `url` may hold a secret: people are shown `where`.
    """

    name: str
    where: str
    channel: str = ""
    recipient: str = ""
    url: str = field(default="", repr=False)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Another scheduler as it was read: `program` is what it is called on the command line, `where` it was found."""

    program: str
    where: str
    jobs: tuple[Found, ...] = ()
    left: tuple[Left, ...] = ()
    addresses: tuple[Address, ...] = ()
    hints: tuple[str, ...] = ()
    had: tuple[Had, ...] = ()
    waiting: tuple[Waiting, ...] = ()
