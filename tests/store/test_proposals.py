"""Proposals in the store: the first decision counts, a caller's next one takes the place of its last, few are open."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.proposals import ProposalStatus
from ocs.store import Store, audit, proposals
from ocs.store.proposals import MOST_OF_CALLER
from ocs.store.tables_mcp import Proposal

NOW = datetime(2026, 12, 1, 2, tzinfo=UTC)
AGENT = Attribution("research", "mcp", NOW)
ANN, BEN = (Attribution(name, "cli", NOW + timedelta(minutes=1)) for name in ("ann", "ben"))


def proposal(job_id: str = "night", document: str = "id: night\n", by: str = "research") -> Proposal:
    return Proposal(project="home", job_id=job_id, document=document, why="dark", proposed_by=by, created_at=NOW)


async def test_the_first_decision_counts(store: Store) -> None:
    made, _ = await proposals.propose(store, proposal(), by=AGENT)
    decisions = [
        proposals.decide(store, made, ProposalStatus.ACCEPTED, "", by=ANN),
        proposals.decide(store, made, ProposalStatus.REJECTED, "no", by=BEN),
    ]
    ended = await asyncio.gather(*decisions, return_exceptions=True)
    (decided,) = [each for each in ended if isinstance(each, Proposal)]
    (refused,) = [each for each in ended if isinstance(each, Refused)]
    assert f"already by {decided.decided_by}" in refused.message
    did = [(each.action, each.actor, each.source) for each in await audit.events(store, job="night")]
    assert did == [(f"proposal-{decided.status}", decided.decided_by, "cli"), ("proposal-made", "research", "mcp")]


async def test_what_was_accepted_and_cut_off_can_be_accepted_again_until_it_is_written(store: Store) -> None:
    made, _ = await proposals.propose(store, proposal(), by=AGENT)
    await proposals.decide(store, made, ProposalStatus.ACCEPTED, "", by=ANN)
    with pytest.raises(Refused):
        await proposals.decide(store, made, ProposalStatus.REJECTED, "", by=BEN)
    await proposals.decide(store, made, ProposalStatus.ACCEPTED, "", by=BEN)
    await proposals.written(store, made, now=NOW)
    with pytest.raises(Refused, match="accepted already by ben"):
        await proposals.decide(store, made, ProposalStatus.ACCEPTED, "", by=ANN)


async def test_what_could_not_be_carried_out_is_open_again(store: Store) -> None:
    made, _ = await proposals.propose(store, proposal(), by=AGENT)
    await proposals.decide(store, made, ProposalStatus.ACCEPTED, "", by=ANN)
    await proposals.reopen(store, made, "the disk is full", by=ANN)
    again = await proposals.proposal_by(store, "night")
    assert (again.status, again.decided_by) == (ProposalStatus.OPEN, None)
    await proposals.decide(store, made, ProposalStatus.REJECTED, "", by=BEN)


async def test_a_callers_next_one_for_a_job_takes_the_place_of_its_last(store: Store) -> None:
    first, _ = await proposals.propose(store, proposal(), by=AGENT)
    same, already = await proposals.propose(store, proposal(), by=AGENT)
    assert (same.id, already) == (first.id, True)
    second, already = await proposals.propose(store, proposal(document="id: night\nrun: x\n"), by=AGENT)
    assert not already
    await proposals.propose(store, proposal(by="other"), by=AGENT)
    assert second.id in {each.id for each in await proposals.proposals(store, open_only=True)}
    assert len(await proposals.proposals(store)) == 2
    with pytest.raises(NotFound, match="2 proposals for night are open"):
        await proposals.proposal_by(store, "night")
    with pytest.raises(Refused, match="proposed anew"):
        await proposals.decide(store, first, ProposalStatus.ACCEPTED, "", by=ANN)


async def test_a_caller_has_few_open_ones_and_old_decisions_go(store: Store) -> None:
    for number in range(MOST_OF_CALLER):
        await proposals.propose(store, proposal(f"job-{number}"), by=AGENT)
    with pytest.raises(Refused, match="20 proposals of research are open already"):
        await proposals.propose(store, proposal("one-more"), by=AGENT)
    await proposals.propose(store, proposal("one-more", by="other"), by=AGENT)
    gone = await proposals.proposal_by(store, "job-1")
    await proposals.decide(store, gone, ProposalStatus.REJECTED, "", by=ANN)
    assert await proposals.prune_proposals(store, before=NOW) == 0
    assert await proposals.prune_proposals(store, before=NOW + timedelta(days=90)) == 1
    assert len(await proposals.proposals(store)) == MOST_OF_CALLER
