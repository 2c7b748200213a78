"""What `ocs doctor` finds of other schedulers: whether one still runs a job that runs here too."""

from __future__ import annotations

from collections.abc import Iterator

from ocs.cli import importing
from ocs.cli.doctor.project import Finding, State
from ocs.errors import NotFound
from ocs.service import session

NAMED = 5


def others() -> Iterator[Finding]:
    """Each scheduler that jobs were imported from and that is still there, at its usual place."""
    if not session.has_project():
        return
    from deployments.importing.twins import how_to_stop, twins

    jobs = session.catalogue().jobs.values()
    for program in importing.PROGRAMS:
        if not any(program in job.tags and job.enabled for job in jobs):
            continue
        try:
            source = importing.read(program, None)
        except NotFound:  # it is not there any more
            continue
        both = [twin for twin in twins(source, jobs) if twin.job.enabled and twin.is_begun_there]
        if not both:
            yield Finding("others", State.OK, f"{program} runs none of the jobs that run here.")
            continue
        named = ", ".join(twin.job.id for twin in both[:NAMED]) + (" and others" if len(both) > NAMED else "")
        yield Finding(
            "others", State.PROBLEM, f"{program} runs jobs that run here too: {named}.", how_to_stop(source, both)
        )
