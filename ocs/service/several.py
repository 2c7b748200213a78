"""Several jobs at once, by a tag: each is done by itself, and what goes wrong with one harms no other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ocs.errors import NotFound, OcsError, Problem, UsageError
from ocs.rules.wording import count_of

if TYPE_CHECKING:
    from ocs.spec import Job

T = TypeVar("T")


class NotAll(OcsError):
    """It went wrong for some of the jobs, and was done for the others."""

    code = "not_all"


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What became of each job, and what went wrong with which."""

    by_job: Mapping[str, T]
    failed: Mapping[str, OcsError]

    def failure(self) -> NotAll | None:
        """What is said of those it went wrong for; None when there are none."""
        if not self.failed:
            return None
        problems = [Problem("", f"{job}: {_said(why)}") for job, why in self.failed.items()]
        return NotAll(f"It was done for {count_of(len(self.by_job), 'job')} of {self._of_all}.", problems=problems)

    @property
    def _of_all(self) -> int:
        return len(self.by_job) + len(self.failed)


def either(job: str | None, tag: str | None) -> None:
    """Whether one job is meant or those with a tag.

    Raises:
        UsageError: neither is said, or both.
    """
    if (job is None) == (tag is None):
        raise UsageError("Name one job, or say --tag for all that have it.", hint="See them: ocs jobs list")


def tagged(jobs: Iterable[Job], tag: str) -> list[str]:
    """The ids of jobs with that tag, children before their parents.

    Raises:
        NotFound: none has it; the tags that there are are named.
    """
    known = {job.id: job for job in jobs}
    found = sorted(job.id for job in known.values() if tag in job.tags)
    if not found:
        tags = sorted({each for job in known.values() for each in job.tags})
        raise NotFound(f'No job has the tag "{tag}".', hint=f"There are: {', '.join(tags) or 'none yet'}")
    return sorted(found, key=lambda job_id: -_depth(job_id, known))


def _depth(job_id: str, known: Mapping[str, Job]) -> int:
    """How many parents stand above a job; one that is its own is no reason to go round for ever."""
    above: list[str] = []
    while (job := known.get(job_id)) is not None and job.after is not None and job_id not in above:
        above.append(job_id)
        job_id = job.after.job
    return len(above)


async def each(jobs: Sequence[str], work: Callable[[str], Awaitable[T]]) -> Done[T]:
    """Do it for each, one after the other."""
    by_job: dict[str, T] = {}
    failed: dict[str, OcsError] = {}
    for job in jobs:
        try:
            by_job[job] = await work(job)
        except OcsError as why:
            failed[job] = why
    return Done(by_job, failed)


def _said(why: OcsError) -> str:
    return "  ".join([why.message, *map(str, why.problems), why.hint or ""]).strip()
