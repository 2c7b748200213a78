"""What became of every occurrence of a job: those on record, those that are not, and those to come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ocs.errors import NotFound
from ocs.rules.why import Line, Past, lines, not_followed
from ocs.rules.wording import local, utc
from ocs.service import session

if TYPE_CHECKING:
    from ocs.spec import Job

MOST = 1000
"""So many past occurrences are told of, the newest."""
COMING = 7 * 24 * 60
"""So many occurrences to come: those of a week, a minute apart."""


async def chosen_job(given: str) -> Job:
    """The job that is meant. Of one whose file is gone it is said what is on record: whoever asks has it in mind.

    Raises:
        NotFound: there is none.
        InvalidJob: its file is not valid.
    """
    try:
        return session.job_of(session.catalogue(), given)
    except NotFound:
        if not session.has_store():
            raise
    from ocs.store import queries

    async with session.store() as store:
        job_id = session.pick(given, [*session.catalogue_ids(), *await queries.known_jobs(store)])
        (last,) = await queries.runs(store, job=job_id, limit=1)
    raise NotFound(
        f'"{job_id}" has no file any more, so its schedule is not known here. It began last {local(last.started_at)} '
        f"({last.status}). As long as it is rolled out it goes on.",
        hint=f"Remove what is rolled out: ocs deploy --prune   What it did: ocs runs list --job {job_id}",
    )


async def told_of(jobs: Sequence[Job], begins: datetime, ends: datetime, now: datetime) -> dict[str, list[Line]]:
    """The lines of each job; without a store nothing is on record."""
    if not session.has_store():
        return {job.id: lines(await _due(job, begins, ends, now), Past(), enabled=job.enabled, now=now) for job in jobs}
    from ocs.store.past import past_between

    found: dict[str, list[Line]] = {}
    async with session.store() as store:
        for job in jobs:
            past = await past_between(store, job.id, begins, ends)
            parents = (await past_between(store, job.after.job, begins, ends)).attempts if job.after else ()
            told = lines(await _due(job, begins, ends, now), past, enabled=job.enabled, now=now)
            told += not_followed(job, parents, past)
            found[job.id] = sorted(told, key=lambda line: line.due)
    return found


async def _due(job: Job, begins: datetime, ends: datetime, now: datetime) -> list[datetime]:
    """Computed beside the event loop: a schedule may have very many times."""

    import asyncio

    from ocs.rules.occurrences import newest_between

    if job.schedule is None:
        return []
    after, turn = begins - timedelta(microseconds=1), min(max(now, begins), ends)
    past = await asyncio.to_thread(newest_between, job.schedule, after, turn, MOST)
    return past + await asyncio.to_thread(newest_between, job.schedule, max(turn, after), ends, COMING)


def is_cut(found: Sequence[Line], now: datetime) -> bool:
    """Whether more was due than is told of."""
    return sum(line.kind == "scheduled" and line.due <= now for line in found) >= MOST


def line_view(line: Line) -> dict[str, Any]:
    """An occurrence as programs see it."""
    return {
        "due": utc(line.due),
        "what": line.what,
        "why": line.why,
        "kind": line.kind,
        "run": str(line.run_id) if line.run_id else None,
        "by": line.by,
    }
