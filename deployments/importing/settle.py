"""Settle: what becomes of another scheduler's jobs in a catalogue: their ids and parents, and which become none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, cast

from deployments.buildable import not_built
from deployments.catalogue import Catalogue
from deployments.importing.foreign import Found, Left, Loss, Source
from deployments.importing.naming import Names, slug
from ocs.spec import Job, check_catalogue, unsupported, violations

SECTIONS = ("run.agent.",)
"""Where a value that cannot be had is left out; elsewhere the whole job is, so that it never runs without it."""


class State(StrEnum):
    """What an import does with a job."""

    NEW = "new"
    THERE = "there already"
    DIFFERS = "there already, differs"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Settled:
    """A job of the other program and what it is here. `document` is written when its state says so."""

    found: Found
    job_id: str
    state: State
    document: Mapping[str, Any]

    @property
    def is_written(self) -> bool:
        return self.state in (State.NEW, State.REPLACED)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The jobs in the order of the source, and what is left behind."""

    jobs: tuple[Settled, ...]
    left: tuple[Left, ...]


def settle(source: Source, catalogue: Catalogue, *, replace_them: bool = False) -> Settlement:
    """Decide it. A job is known again by its alias, whatever it is called now; new ones are disabled."""
    known = {alias: job.id for job in catalogue.jobs.values() for alias in job.aliases}
    once: dict[str, Found] = {}
    again = [found for found in source.jobs if once.setdefault(found.source_id, found) is not found]
    left = [*source.left, *(Left(each.source_id, each.name, "has the id of another job before it") for each in again)]
    ids = _ids(once.values(), known, catalogue)
    gone = {each.source_id: each.name for each in source.left}
    good: dict[str, tuple[Found, Job]] = {}
    for found in once.values():
        try:
            good[found.source_id] = _valid(found, ids, gone)
        except ValueError as wrong:
            left.append(Left(found.source_id, found.name, str(wrong)))
    for source_id, why in _without_parent(good, catalogue, ids):
        found, _ = good.pop(source_id)
        left.append(Left(source_id, found.name, why))
    jobs = [_settled(found, job, catalogue, known, replace_them) for found, job in good.values()]
    return Settlement(tuple(jobs), tuple(left))


def _ids(jobs: Iterable[Found], known: Mapping[str, str], catalogue: Catalogue) -> dict[str, str]:
    """An id for each, by its id over there."""
    names = Names([*catalogue.jobs, *known.values()])
    ids: dict[str, str] = {}
    for found in jobs:
        there = known.get(found.source_id)
        ids[found.source_id] = there or names.free(slug(found.name, f"job-{found.source_id[:8]}"))
    return ids


def _valid(found: Found, ids: Mapping[str, str], gone: Mapping[str, str]) -> tuple[Found, Job]:
    """The job that a document makes, without what the gateway has no way to be asked for.

    Raises:
        ValueError: it breaks rules of the job document; all of them are told.
    """
    document = _whole(found, ids, gone)
    if problems := violations(document):
        raise ValueError("; ".join(map(str, problems)))
    job = Job.model_validate(document)
    losses = list(found.losses)
    for problem in unsupported(job):
        if not problem.path.startswith(SECTIONS):
            raise ValueError(str(problem))
        losses.append(Loss(problem.path, problem.message))
        document = _without(document, problem.path)
    if len(losses) > len(found.losses):
        job = Job.model_validate(document)
    if problems := [*unsupported(job), *not_built(job)]:
        raise ValueError("; ".join(map(str, problems)))
    return replace(found, losses=tuple(losses)), job


def _whole(found: Found, ids: Mapping[str, str], gone: Mapping[str, str]) -> dict[str, Any]:
    job_id = ids[found.source_id]
    named = {"name": found.name} if found.name != job_id else {}
    document = {"id": job_id, **named, "enabled": False, "aliases": [found.source_id], **found.document}
    if found.parent is not None:
        if found.parent not in ids:
            missing = f"{gone[found.parent]} is not carried over" if found.parent in gone else "is not there any more"
            raise ValueError(f"its parent {missing}")
        document["after"] = {"job": ids[found.parent], **cast("dict[str, Any]", found.document["after"])}
    return document


def _without(document: Mapping[str, Any], dotted: str) -> dict[str, Any]:
    first, _, rest = dotted.partition(".")
    if not rest:
        return {key: value for key, value in document.items() if key != first}
    return {**document, first: _without(document[first], rest)}


def _without_parent(
    good: Mapping[str, tuple[Found, Job]], catalogue: Catalogue, ids: Mapping[str, str]
) -> list[tuple[str, str]]:
    """Jobs whose parent is none here, and in turn those that run after them; circles, and chains that are too long."""
    there = {**catalogue.jobs, **{job.id: job for _, job in good.values()}}
    source_ids = {job_id: source_id for source_id, job_id in ids.items()}
    gone: dict[str, str] = {}
    while wrong := [(job_id, problem) for job_id, problem in check_catalogue(there) if job_id not in gone]:
        for job_id, problem in wrong:
            after = there[job_id].after
            parent = after.job if after else ""
            is_left = parent in source_ids and parent not in there
            gone[job_id] = f"its parent {parent} is not carried over" if is_left else str(problem)
        there = {job_id: job for job_id, job in there.items() if job_id not in gone}
    return [(source_ids[job_id], why) for job_id, why in gone.items() if source_ids.get(job_id) in good]


def _settled(found: Found, job: Job, catalogue: Catalogue, known: Mapping[str, str], replace_them: bool) -> Settled:
    before = catalogue.jobs.get(job.id) if found.source_id in known else None
    if before is None:
        return Settled(found, job.id, State.NEW, _with_zone(job))
    now = job.changed({"enabled": before.enabled, "aliases": list(before.aliases)})
    if now == before:
        return Settled(found, job.id, State.THERE, now.document())
    return Settled(found, job.id, State.REPLACED if replace_them else State.DIFFERS, _with_zone(now))


def _with_zone(job: Job) -> dict[str, Any]:
    """The job's document with its zone, UTC too: left out, the project's default zone would take its place."""
    document = job.document()
    if job.schedule is not None and "cron" in document["schedule"]:
        document["schedule"] = {**document["schedule"], "timezone": job.schedule.timezone}
    return document
