"""Everything that can be said to a person about what went wrong: one tree, each with a next step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong at one place. `path` is dotted (`schedule.cron`), `file` and `line` where known."""

    path: str
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else (self.file or "")
        return "  ".join(
            part for part in (place, f"{self.path}: {self.message}" if self.path else self.message) if part
        )


class OcsError(Exception):
    """The root of all our errors. `message` says what was wrong and where, `hint` what to do next."""

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """All of it, for programs that show an error as it comes: what was wrong, where, what to do next."""
        return "  ".join([self.message, *map(str, self.problems), *([self.hint] if self.hint else [])])


class InvalidJob(OcsError):
    """One or more job documents break the rules; `problems` lists every violation at once."""

    code = "invalid_job"


class NotFound(OcsError):
    """No such job, run, key or file."""

    code = "not_found"


class Refused(OcsError):
    """The request is understood and not allowed as things stand."""

    code = "refused"


class SpawnRefused(Refused):
    """A run asked for what it may not start; `problems` lists every reason at once."""

    code = "spawn_refused"


class StoreError(OcsError):
    """The store cannot be used: unreachable, of a newer version, or not writable."""

    code = "store"


class StoreAway(StoreError):
    """The store's database refuses, stalls or has no room just now: the same call may succeed later."""


class UsageError(OcsError):
    """The command line was used wrongly."""

    code = "usage"
    exit_status = 2


class ServerUnreachable(OcsError):
    """The Prefect server does not answer."""

    code = "server_unreachable"
    exit_status = 3


class Unusable(OcsError):
    """What a job or a target asks for is brought by a package that is not installed here, or cannot be loaded."""

    code = "unusable"
