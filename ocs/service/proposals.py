"""Proposals: an agent's job document is checked like a job's file, shown, and written when a person says yes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from ocs import settings
from ocs.errors import InvalidJob, OcsError, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.proposals import (
    LONGEST_REASON,
    LONGEST_WHY,
    ProposalStatus,
    checked_document,
    checked_words,
    difference,
)
from ocs.rules.wording import SHORT, local
from ocs.service import changing, session
from ocs.service.changing import Changed
from ocs.service.listener import Listener
from ocs.spec import Job, is_slug

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables_mcp import Proposal as ProposalRow

COMING = 3
"""So many of its times are told of a proposed schedule."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A document that could be a job's file, and what would change. `document` is as it would be written."""

    job: Job
    document: str
    base: str | None
    diff: str
    times: Sequence[datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A job document that a caller would have. `remarks` are what a person should know before deciding."""

    id: UUID
    job: str
    kind: str
    project: str
    status: str
    proposed_by: str
    created_at: datetime
    why: str
    diff: str
    remarks: tuple[str, ...]
    decided_by: str | None
    decided_from: str | None
    decided_at: datetime | None
    reason: str


async def examine(project: Path, text: str) -> Examined:
    """Check a document by the rules of job files, with the whole catalogue; nothing is kept.

    Raises:
        InvalidJob: it is no job, or the catalogue would not be valid with it.
        Refused: nothing of its schedule is to come, it is too long for a person to read, or would change nothing.
    """
    return await asyncio.to_thread(_examine, project, checked_document(text))


async def propose(store: Store, project: Path, text: str, why: str, *, by: Attribution) -> tuple[Proposal, bool]:
    """Keep a document until a person decides; returns it, and whether it was proposed before.

    Raises:
        InvalidJob, Refused: as for `examine`; or too many are open.
    """
    from ocs.store import proposals
    from ocs.store.tables_mcp import Proposal as Row

    said = checked_words("reason", why, LONGEST_WHY)
    examined = await examine(project, text)
    row = Row(
        project=(await _name(project))[:256], job_id=examined.job.id, document=examined.document, base=examined.base,
        why=said, proposed_by=by.actor, created_at=by.now,
    )  # fmt: skip
    kept, already = await proposals.propose(store, row, by=by)
    return await _record(store, kept, project), already


async def listed(store: Store, *, everything: bool = False, by: str | None = None, limit: int = 100) -> list[Proposal]:
    """Those on which a person has to decide, or whose acceptance was cut off, newest first; with `everything` all."""
    from ocs.store import proposals

    project = settings.project_dir() if session.has_project() else None
    found = await proposals.proposals(store, open_only=not everything, by=by, limit=limit)
    return [await _record(store, row, project) for row in found]


async def one(store: Store, given: str) -> Proposal:
    """The proposal whose id begins so, or the only open one for that job.

    Raises:
        NotFound: there is none, or there are several.
    """
    from ocs.store import proposals

    project = settings.project_dir() if session.has_project() else None
    return await _record(store, await proposals.proposal_by(store, given), project)


async def reject(store: Store, given: str, reason: str, *, by: Attribution) -> Proposal:
    """Decide that nothing comes of a proposal.

    Raises:
        NotFound: there is none, or there are several.
        Refused: somebody has decided before, or the reason is too long.
    """
    from ocs.store import proposals

    said = checked_words("reason", reason, LONGEST_REASON)
    row = await proposals.proposal_by(store, given)
    return await _record(store, await proposals.decide(store, row, ProposalStatus.REJECTED, said, by=by), None)


async def accept(
    store: Store, project: Path, given: str, reason: str, *, deploy: bool, by: Attribution, listener: Listener
) -> Changed:
    """Write a proposal as its job's file, and roll that out. What cannot be carried out leaves it open.

    Raises:
        NotFound: there is none, or there are several.
        Refused: somebody has decided before, it is for another project, or the file was changed since it was made.
        InvalidJob: the catalogue would not be valid with it by now.
    """
    from ocs.store import proposals

    said = checked_words("reason", reason, LONGEST_REASON)
    row = await proposals.proposal_by(store, given)
    if row.status is not ProposalStatus.REJECTED:
        await _refuse_other(row, project)
    await proposals.decide(store, row, ProposalStatus.ACCEPTED, said, by=by)
    try:
        changed = await _carried_out(row, project, deploy=deploy, by=by, listener=listener)
    except OcsError as failed:
        await proposals.reopen(store, row, failed.message, by=by)
        raise
    await proposals.written(store, row, now=session.now())
    return changed


async def _carried_out(
    row: ProposalRow, project: Path, *, deploy: bool, by: Attribution, listener: Listener
) -> Changed:
    await _refuse_other(row, project)  # once more: somebody may have saved the file meanwhile
    if row.base is None and await _content(project, row.job_id) is None:
        return await changing.add(project, row.document, deploy=deploy, by=by, listener=listener)
    return await changing.rewrite(project, row.job_id, row.document, deploy=deploy, by=by, listener=listener)


async def _refuse_other(row: ProposalRow, project: Path) -> None:
    """What was proposed for another project, or for a file as it is no more. One that was written is as proposed."""
    name = await _name(project)
    if row.project != name[:256]:
        raise Refused(f"It was proposed for the project {row.project}, and this is {name}.", hint="Stand in that one.")
    now = await _content(project, row.job_id)
    if now not in (row.base, row.document):
        short = str(row.id)[:SHORT]
        hint = f"Reject it, and have it proposed anew: ocs proposals reject {short}"
        raise Refused(f"{row.job_id}.yaml was changed since this was proposed; nothing was written.", hint=hint)


def _examine(project: Path, text: str) -> Examined:
    from deployments import catalogue
    from deployments.buildable import not_built

    job_id = catalogue.parse_text(text, "The document").get("id")
    named = job_id if isinstance(job_id, str) and is_slug(job_id) else None
    base = _read(project, named) if named is not None else None
    if base is not None and named is not None:
        checked_document(base, f"{named}.yaml")
        if base == text:
            raise Refused(f"{named}.yaml says this already.", hint="Nothing is to be changed.")
        job = changing.changed_job(project, named, text, deploy=True)
    else:
        job = changing.new_job(project, text, deploy=True)
    if refused := not_built(job):
        raise InvalidJob("Prefect does not take this job.", problems=refused)
    return Examined(job, text, base, difference(job.id, base, text), _times(job))


def _times(job: Job) -> list[datetime]:
    from ocs.rules.occurrences import occurrences

    return occurrences(job.schedule, session.now(), COMING) if job.schedule and job.enabled else []


def _read(project: Path, job_id: str) -> str | None:
    from deployments import catalogue
    from deployments.reading import read_text

    path = catalogue.path_of(project, job_id)
    return read_text(path, str(catalogue.JOBS / path.name)) if path.exists() else None


async def _content(project: Path, job_id: str) -> str | None:
    """A job's file as it is now; what cannot be read is nothing that was proposed for."""
    try:
        return await asyncio.to_thread(_read, project, job_id)
    except InvalidJob:
        return ""


async def _name(project: Path) -> str:
    return (await asyncio.to_thread(session.catalogue, project)).name


async def _record(store: Store, row: ProposalRow, project: Path | None) -> Proposal:
    diff = await asyncio.to_thread(difference, row.job_id, row.base, row.document)
    waits = row.status is not ProposalStatus.REJECTED and row.written_at is None
    return Proposal(
        id=row.id,
        job=row.job_id,
        kind="new" if row.base is None else "change",
        project=row.project,
        status=row.status,
        proposed_by=row.proposed_by,
        created_at=row.created_at,
        why=row.why,
        diff=diff,
        remarks=tuple(await _remarks(store, row, project)) if waits and project is not None else (),
        decided_by=row.decided_by,
        decided_from=row.decided_from,
        decided_at=row.decided_at,
        reason=row.reason,
    )


async def _remarks(store: Store, row: ProposalRow, project: Path) -> list[str]:
    """That the file is another one by now, and that a person has removed the job: their word stands."""
    from ocs.store import proposals

    now = await _content(project, row.job_id)
    remarks: list[str] = []
    if row.status is ProposalStatus.ACCEPTED:
        remarks.append("It was accepted, and that was cut off before it was written; accept it again.")
    if now not in (row.base, row.document):
        remarks.append(f"{row.job_id}.yaml was changed since this was proposed, so that it cannot be accepted.")
    last = await proposals.last_change_of_file(store, row.job_id) if now is None else None
    if last is not None and last.action == "job-removed":
        remarks.append(f"{last.actor} removed {row.job_id} at {local(last.at)}; accepting this makes it again.")
    return remarks
