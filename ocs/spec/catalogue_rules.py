"""Rules across jobs: parents exist, nothing runs after itself, chains are at most ten deep, a name is one job's."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from ocs.errors import Problem
from ocs.spec.job import Job

DEEPEST = 10


def check_catalogue(jobs: Mapping[str, Job]) -> list[tuple[str, Problem]]:
    """What is wrong between the jobs, as (id of the job to mend, problem)."""
    named: dict[str, str] = {}
    for job in jobs.values():
        for alias in job.aliases:
            named.setdefault(alias, job.id)
    parents = [
        (job.id, Problem("after.job", message))
        for job in jobs.values()
        if job.after is not None and (message := _wrong_with_parent(job.id, job.after.job, jobs, named))
    ]
    return [*parents, *_wrong_aliases(jobs, named)]


def _wrong_aliases(jobs: Mapping[str, Job], named: Mapping[str, str]) -> Iterator[tuple[str, Problem]]:
    """A name stands for one job."""
    for job in jobs.values():
        for alias in job.aliases:
            if alias != job.id and alias in jobs:
                yield job.id, Problem("aliases", f'"{alias}" is the id of another job; take it out')
            elif named[alias] != job.id:
                yield job.id, Problem("aliases", f'"{alias}" is an alias of {named[alias]} too; keep one of them')


def _wrong_with_parent(job_id: str, parent: str, jobs: Mapping[str, Job], named: Mapping[str, str]) -> str | None:
    if parent in named and parent not in jobs:
        return f'"{parent}" is an alias of {named[parent]}; write  job: {named[parent]}'
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
