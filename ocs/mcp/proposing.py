"""Tools that propose jobs. Nothing that they do runs or changes anything: a person decides."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from ocs import settings
from ocs.mcp.answers import Text, told
from ocs.mcp.arguments import Limit
from ocs.mcp.caller import attribution, caller
from ocs.rules.proposals import LONGEST_WHY, MOST_BYTES
from ocs.rules.wording import SHORT, utc
from ocs.service import proposals, session
from ocs.service.proposals import Proposal

Document = Annotated[
    str,
    Field(
        max_length=MOST_BYTES,
        description="The whole job document in YAML, with its id; as show_job shows one. Keep what you do not change.",
    ),
]
KEYS = ("id", "job", "kind", "status", "created_at", "decided_by", "decided_at", "reason")


async def preview_job(document: Document) -> str:
    """Check a job document, new or changed, by the rules of job files: what would change, and when it would run.

    Nothing is kept. All that is wrong with it is told at once, with paths and lines.
    """
    examined = await proposals.examine(settings.project_dir(), document)
    facts = {
        "job": examined.job.id,
        "kind": "new" if examined.base is None else "change",
        "would_run_at": [utc(moment) for moment in examined.times],
        "asks_for_approval": examined.job.approval.required,
    }
    return told(f"preview of {examined.job.id}", facts, Text("what would change", examined.diff))


async def propose_job(
    document: Document,
    why: Annotated[str, Field(max_length=LONGEST_WHY, description="Why, for the person who decides.")],
) -> str:
    """Propose a new or changed job. It runs nothing and changes nothing until a person accepts it; see list_proposals.

    A further proposal of yours for the same job takes the place of this one while it is open.
    """
    async with session.store() as store:
        made, already = await proposals.propose(store, settings.project_dir(), document, why, by=attribution())
    facts = {
        **_facts(made),
        "already_proposed": already,
        "a_person_decides_with": f"ocs proposals accept {str(made.id)[:SHORT]}",
        "remarks": list(made.remarks),
    }
    return told(f"proposal for {made.job}", facts, Text("what would change", made.diff))


async def list_proposals(
    only_open: Annotated[bool, Field(description="Only those on which nobody has decided.")] = False, limit: Limit = 20
) -> str:
    """List what you have proposed, newest first, and what a person has decided on it and why."""
    async with session.store() as store:
        found = await proposals.listed(store, everything=not only_open, by=caller().name, limit=limit)
    return told("your proposals", {"proposals": [{**_facts(each), "remarks": list(each.remarks)} for each in found]})


def _facts(proposal: Proposal) -> dict[str, Any]:
    found = {key: getattr(proposal, key) for key in KEYS}
    return {key: value for key, value in found.items() if value not in (None, "")}
