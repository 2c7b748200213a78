"""What `ocs doctor` finds of other schedulers: whether one still runs a job that runs here too."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ocs.cli import importing
from ocs.cli.doctor.project import Finding, State, failure
from ocs.errors import InvalidJob, NotFound
from ocs.service import session

if TYPE_CHECKING:
    from ocs.spec import Job

NAMED = 5


def others() -> Iterator[Finding]:
    """Each scheduler that jobs were imported from and that is still there, at its usual place."""
    if not session.has_project():
        return
    jobs = session.catalogue().jobs.values()
    for program in importing.PROGRAMS:
        if not any(program in job.tags and job.enabled for job in jobs):
            continue
        yield from _of(program, None, jobs)
        for place in sorted(_places(jobs)) if program == importing.CRONTAB else ():
            yield from _of(program, Path(place), jobs)


def _places(jobs: Collection[Job]) -> set[str]:
    """The files that jobs came from, beside one's own crontab."""
    from deployments.crontab_jobs import ORIGIN, place_of

    origins = [job.origin for job in jobs if job.enabled and job.origin and job.origin.startswith(ORIGIN)]
    return {place for origin in origins if (place := place_of(origin)) and place.startswith("/")}


def _of(program: str, place: Path | None, jobs: Collection[Job]) -> Iterator[Finding]:
    from deployments.importing.twins import how_to_stop, twins

    where = f" ({place})" if place else ""
    try:
        source = importing.read(program, place)
    except NotFound:  # it is not there any more
        return
    except InvalidJob as wrong:  # the other schedulers are still examined
        yield failure("others", wrong)
        return
    both = [twin for twin in twins(source, jobs) if twin.job.enabled and twin.is_begun_there]
    if not both:
        yield Finding("others", State.OK, f"{program}{where} runs none of the jobs that run here.")
        return
    named = ", ".join(twin.job.id for twin in both[:NAMED]) + (" and others" if len(both) > NAMED else "")
    yield Finding(
        "others", State.PROBLEM, f"{program}{where} runs jobs that run here too: {named}.", how_to_stop(source, both)
    )
