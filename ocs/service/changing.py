"""Changing a project: a file is written, and rolled out if a server is there. What is refused is taken back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocs.errors import InvalidJob, OcsError, Refused, ServerUnreachable, StoreError
from ocs.rules.approval import values_by_path
from ocs.rules.attribution import Attribution
from ocs.rules.occurrences import why_over
from ocs.service import session
from ocs.service.listener import Listener
from ocs.service.rollout import not_rolled_out, roll_out, take_back
from ocs.spec import Job, unsupported, violations, with_defaults

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue

UNSUPPORTED = "The job asks for what is not supported yet; nothing was written."


@dataclass(frozen=True, slots=True)
class Changed:
    """A job whose file was changed. `away` says why it was not rolled out though it was to be."""

    job: Job
    deployed: bool
    away: str = ""


@dataclass(frozen=True, slots=True)
class Removed:
    """A job whose file is gone. `away` says why its deployment could not be removed though it was to be."""

    job_id: str
    undeployed: bool
    away: str = ""


def new_job(project: Path, text: str, *, deploy: bool) -> Job:
    """The job that a document describes, if it can be added to the project; nothing is written.

    Raises:
        InvalidJob: it is none, or with `deploy` one that is not supported yet.
        Refused: there is a job of its id, or nothing of its schedule is to come.
    """
    from deployments import catalogue

    job = _described(project, text, deploy=deploy)
    catalogue.check_with(project, job.id, text)
    return job


def _described(project: Path, text: str, *, deploy: bool) -> Job:
    """The job by itself; whether the catalogue is valid with it is found out when it is written."""
    from deployments import catalogue

    defaults, _ = catalogue.read_defaults(project)
    document = with_defaults(catalogue.parse_text(text, "The document"), defaults)
    if broken := violations(document):
        raise InvalidJob("This is not a job; nothing was written.", problems=broken)
    job = Job.model_validate(document)
    if catalogue.path_of(project, job.id).exists():
        raise Refused(f'There is a job "{job.id}" already.', hint=f"See it: ocs jobs show {job.id}")
    if job.schedule is not None and (over := why_over(job.schedule, session.now())):
        raise Refused(f"{job.id} {over}; nothing was written.", hint="Name a later time.")
    if deploy and (problems := unsupported(job)):
        raise InvalidJob(UNSUPPORTED, problems=problems)
    return job


async def add(project: Path, text: str, *, deploy: bool, by: Attribution, listener: Listener) -> Changed:
    """Add the job that a document describes, in the words in which it is written.

    Raises:
        InvalidJob, Refused: as for `new_job`; nothing was written.
    """
    from deployments import catalogue

    job = _described(project, text, deploy=deploy)

    def written() -> Catalogue:
        return catalogue.write(project, job.id, text)

    return await _change(project, job.id, "added", written, deploy=deploy, by=by, listener=listener)


def changed_job(project: Path, job_id: str, text: str, *, deploy: bool) -> Job:
    """A job as it is with another document in its file, if that can be; nothing is written.

    Raises:
        InvalidJob: the catalogue would not be valid with it, or with `deploy` it is not supported yet.
        Refused: nothing of its schedule is to come.
    """
    from deployments import catalogue

    job = catalogue.check_with(project, job_id, text).jobs[job_id]
    before = catalogue.read(project).jobs.get(job_id)
    is_other = before is None or (before.schedule, before.enabled) != (job.schedule, job.enabled)
    if is_other and job.schedule and job.enabled and (over := why_over(job.schedule, session.now())):
        raise Refused(f"{job_id} {over}; nothing was written.", hint="Name a later time.")
    if deploy and (problems := unsupported(job)):
        raise InvalidJob(UNSUPPORTED, problems=problems)
    return job


async def rewrite(
    project: Path, job_id: str, text: str, *, deploy: bool, by: Attribution, listener: Listener
) -> Changed:
    """Put another document into a job's file.

    Raises:
        InvalidJob, Refused: as for `changed_job`; nothing was written.
    """
    from deployments import catalogue

    changed_job(project, job_id, text, deploy=deploy)

    def written() -> Catalogue:
        return catalogue.write(project, job_id, text)

    return await _change(project, job_id, "changed", written, deploy=deploy, by=by, listener=listener)


async def switch(
    found: Catalogue, given: str, *, enabled: bool, deploy: bool, by: Attribution, listener: Listener
) -> Changed:
    """Enable or disable a job's schedule; enabling takes back a pause in the UI too.

    Raises:
        NotFound: there is no such job.
        InvalidJob: the catalogue is not valid.
    """
    from deployments import catalogue

    job = session.job_of(found, given)

    def written() -> Catalogue:
        if job.enabled is enabled:
            return found.checked()
        return catalogue.set_values(found.project, job.id, {"enabled": enabled})

    verb = "enabled" if enabled else "disabled"
    return await _change(found.project, job.id, verb, written, deploy=deploy, resume=enabled, by=by, listener=listener)


async def remove(found: Catalogue, given: str, *, deploy: bool, by: Attribution, listener: Listener) -> Removed:
    """Remove a job's file and, with `deploy`, its deployment; what runs or waits of it is ended. Its history stays.

    Raises:
        NotFound: there is no such job.
        Refused: jobs run after it, or something of it did not end in time.
    """
    from deployments import catalogue, prefect_yaml

    chosen = session.pick(given, session.ids_of(found), session.aliases_of(found))
    children = sorted(other.id for other in found.jobs.values() if other.after and other.after.job == chosen)
    if children:
        raise Refused(f'"{chosen}" has jobs that run after it: {", ".join(children)}.', hint="Remove those first.")
    before = _file_to_remove(catalogue.path_of(found.project, chosen))
    prefect_yaml.regenerate(catalogue.remove(found.project, chosen))

    async def taken_back() -> None:
        async with session.server() as client, session.store() as store:
            await take_back(client, store, chosen, found.name, by)

    away = await _unless_away(taken_back) if deploy else ""
    await _note("removed", chosen, before, None, by, listener)
    return Removed(chosen, deploy and not away, away)


async def _change(
    project: Path,
    job_id: str,
    verb: str,
    write: Callable[[], Catalogue],
    *,
    deploy: bool,
    by: Attribution,
    listener: Listener,
    resume: bool = False,
) -> Changed:
    """Write, and roll out if a server is there. What the server refuses is taken back."""
    from deployments import catalogue, prefect_yaml

    path = catalogue.path_of(project, job_id)
    before = _content(path)
    changed = await asyncio.to_thread(write)
    prefect_yaml.regenerate(changed)

    async def rolled_out() -> None:
        async with session.server() as client, session.store() as store:
            done = await roll_out(client, store, changed, [job_id], resume=resume, by=by, listener=listener)
        if failed := not_rolled_out(done):
            raise failed

    away = ""
    if deploy:
        try:
            away = await _unless_away(rolled_out)
        except OcsError:
            _put_back(path, before)
            prefect_yaml.regenerate(catalogue.read(project))
            raise
    await _note(verb, job_id, before, _content(path), by, listener)
    return Changed(changed.jobs[job_id], deploy and not away, away)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _put_back(path: Path, before: bytes | None) -> None:
    path.unlink() if before is None else path.write_bytes(before)


def _file_to_remove(path: Path) -> bytes:
    from deployments.reading import read_bytes

    with contextlib.suppress(InvalidJob):  # what cannot be read can be removed
        return read_bytes(path, path.name)
    return b""


async def _note(
    verb: str, job_id: str, before: bytes | None, after: bytes | None, by: Attribution, listener: Listener
) -> None:
    """Tell the audit trail who changed a job's file, and which values were others before."""
    from ocs.store import audit

    was, now_is = _values(before), _values(after)
    differing = [path for path in {**was, **now_is} if was.get(path) != now_is.get(path)]
    if not differing:
        return
    try:
        async with session.store() as store:
            await audit.append(
                store,
                f"job-{verb}",
                job_id=job_id,
                by=by,
                before={path: was[path] for path in differing if path in was},
                after={path: now_is[path] for path in differing if path in now_is},
            )
    except StoreError as away:
        listener.warn(f"The audit trail does not have it: {away.message}")


def _values(text: bytes | None) -> dict[str, Any]:
    """The values of a job's file by path; none of one that is not there, or that nobody could read."""
    from deployments.catalogue import parse_text

    with contextlib.suppress(OcsError):
        written = parse_text(text.decode(errors="replace"), "") if text else {}
        return json.loads(json.dumps(values_by_path(written), default=str))
    return {}


async def _unless_away(work: Callable[[], Awaitable[None]]) -> str:
    """Do it; returns why not, when no server answers."""
    try:
        await work()
    except ServerUnreachable as away:
        return away.message
    return ""
