"""Proposals in the store: written, found, decided on once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import and_, delete, func, or_
from sqlmodel import col, select

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.proposals import ProposalStatus
from ocs.rules.wording import SHORT, local
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.shortened import that_begin, the_one
from ocs.store.tables import AuditEvent
from ocs.store.tables_mcp import Proposal

MOST_OF_CALLER = 20
MOST_OPEN = 200
HINT = "See them: ocs proposals list"
IS_OPEN = col(Proposal.status) == ProposalStatus.OPEN
IS_CUT_OFF = and_(col(Proposal.status) == ProposalStatus.ACCEPTED, col(Proposal.written_at).is_(None))
"""Somebody has accepted it, and it did not become the job's file (yet)."""
OF_FILES = ("job-added", "job-changed", "job-enabled", "job-disabled", "job-removed")


async def propose(store: Store, new: Proposal, *, by: Attribution) -> tuple[Proposal, bool]:
    """Write a proposal in the place of an open one of its caller for the same job.

    Returns it and whether it was there already, word for word.

    Raises:
        Refused: too many are open.
    """
    async with store.transaction(lock=("proposals",)) as session:
        same = select(Proposal).where(
            Proposal.status == ProposalStatus.OPEN,
            Proposal.project == new.project,
            Proposal.job_id == new.job_id,
            Proposal.proposed_by == new.proposed_by,
        )
        if (former := await session.scalar(same)) is not None:
            if (former.document, former.base) == (new.document, new.base):
                return former, True
            await session.delete(former)
            await session.flush()
        open_ones = select(func.count()).select_from(Proposal).where(IS_OPEN)
        for wanted, most, whose in (
            (open_ones.where(Proposal.proposed_by == new.proposed_by), MOST_OF_CALLER, f" of {new.proposed_by}"),
            (open_ones, MOST_OPEN, ""),
        ):
            if (await session.scalar(wanted) or 0) >= most:
                raise Refused(f"{most} proposals{whose} are open already.", hint="A person has to decide first.")
        session.add(new)
        after = {"proposal": str(new.id), "changes": "file" if new.base is not None else "new", "why": new.why}
        record(session, "proposal-made", by=by, job_id=new.job_id, after=after)
    return new, False


async def proposals(
    store: Store, *, open_only: bool = False, by: str | None = None, limit: int = 100
) -> list[Proposal]:
    """The newest `limit`, newest first; with `by` those of one caller."""
    wanted = select(Proposal).order_by(col(Proposal.created_at).desc()).limit(limit)
    if open_only:
        wanted = wanted.where(or_(IS_OPEN, IS_CUT_OFF))
    if by is not None:
        wanted = wanted.where(Proposal.proposed_by == by)
    async with store.reading() as session:
        return list(await session.scalars(wanted))


async def number_open(store: Store) -> int:
    """How many wait for a person."""
    async with store.reading() as session:
        return await session.scalar(select(func.count()).select_from(Proposal).where(or_(IS_OPEN, IS_CUT_OFF))) or 0


async def proposal_by(store: Store, given: str) -> Proposal:
    """The proposal whose id begins so, or the only open one for the job of that id.

    Raises:
        NotFound: there is none, or there are several.
    """
    async with store.reading() as session:
        found = list(await session.scalars(select(Proposal).order_by(col(Proposal.created_at))))
    of_job = [each for each in found if each.job_id == given and each.status is ProposalStatus.OPEN]
    if len(of_job) == 1:
        return of_job[0]
    if of_job:
        ids = ", ".join(f"{str(each.id)[:SHORT]} ({each.proposed_by})" for each in of_job)
        raise NotFound(f"{len(of_job)} proposals for {given} are open: {ids}.", hint="Name one of them.")
    begun = that_begin(found, given, by=lambda each: each.id)
    return the_one(begun, given, "proposal", by=lambda each: each.id, hint=HINT)


async def decide(store: Store, given: Proposal, status: ProposalStatus, reason: str, *, by: Attribution) -> Proposal:
    """Write what a person has decided; the first decision counts. An accepted one that is not written may be again.

    Raises:
        Refused: somebody has decided before.
    """
    async with store.transaction(lock=("proposals",)) as session:
        row = await session.get(Proposal, given.id, with_for_update=True)
        if row is None:
            raise Refused("It was proposed anew meanwhile, or is gone.", hint=HINT)
        taken_up = row.status is status is ProposalStatus.ACCEPTED and row.written_at is None
        if row.status is not ProposalStatus.OPEN and not taken_up:
            when = f" by {row.decided_by}, {local(row.decided_at)}"
            raise Refused(f"It is {row.status} already{when}.", hint=HINT)
        row.status, row.reason = status, reason
        row.decided_by, row.decided_from, row.decided_at = by.actor, by.source, by.now
        after = {"proposal": str(row.id), "proposed_by": row.proposed_by, "reason": reason}
        record(session, f"proposal-{status}", by=by, job_id=row.job_id, after=after)
    return row


async def written(store: Store, given: Proposal, *, now: datetime) -> None:
    """Note that an accepted one is the job's file now."""
    async with store.transaction(lock=("proposals",)) as session:
        row = await session.get_one(Proposal, given.id, with_for_update=True)
        row.written_at = now


async def reopen(store: Store, given: Proposal, why: str, *, by: Attribution) -> None:
    """Take an acceptance back that could not be carried out."""
    async with store.transaction(lock=("proposals",)) as session:
        row = await session.get_one(Proposal, given.id, with_for_update=True)
        row.status, row.reason = ProposalStatus.OPEN, ""
        row.decided_by = row.decided_from = row.decided_at = None
        after = {"proposal": str(row.id), "why": why[:1000]}
        record(session, "proposal-not-carried-out", by=by, job_id=row.job_id, after=after)


async def last_change_of_file(store: Store, job_id: str) -> AuditEvent | None:
    """The last thing that is on record of a job's file."""
    wanted = select(AuditEvent).where(AuditEvent.job_id == job_id, col(AuditEvent.action).in_(OF_FILES))
    async with store.reading() as session:
        return await session.scalar(wanted.order_by(col(AuditEvent.at).desc()).limit(1))


async def prune_proposals(store: Store, *, before: datetime) -> int:
    """Delete those that were decided long ago; the audit trail keeps who did it."""
    past = delete(Proposal).where(col(Proposal.status) != ProposalStatus.OPEN, col(Proposal.decided_at) < before)
    async with store.transaction() as session:
        return int(getattr(await session.execute(past), "rowcount", 0))
