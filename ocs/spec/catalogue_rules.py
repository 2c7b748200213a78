"""Rules across jobs: parents exist, nothing runs after itself, chains are at most ten deep."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from ocs.errors import Problem
from ocs.spec.job import Job

DEEPEST = 10


def check_catalogue(jobs: Mapping[str, Job]) -> list[tuple[str, Problem]]:
    """What is wrong between the jobs, as (id of the job to mend, problem at `after.job`)."""
    return [
        (job.id, Problem("after.job", message))
        for job in jobs.values()
        if job.after is not None and (message := _wrong_with_parent(job.id, job.after.job, jobs))
    ]


def _wrong_with_parent(job_id: str, parent: str, jobs: Mapping[str, Job]) -> str | None:
    if parent not in jobs:
        nearest = difflib.get_close_matches(parent, jobs, n=1)
        known = f"Nearest: {nearest[0]}." if nearest else "See all: ocs jobs list"
        return f'there is no job "{parent}". {known}'
    chain = [job_id]
    here: str | None = parent
    while here is not None and here in jobs:
        chain.append(here)
        if here in chain[:-1]:
            circle = chain[chain.index(here) :]
            return f"runs in a circle: {' after '.join(circle)}" if here == job_id else None
        after = jobs[here].after
        here = after.job if after else None
    if len(chain) > DEEPEST:
        return f"is level {len(chain)} of a chain; at most {DEEPEST} are allowed: {' after '.join(chain)}"
    return None
