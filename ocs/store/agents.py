"""Agents: what people have said of them, and what their runs say: whether they work, and when they did last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlmodel import col

from ocs.errors import NotFound
from ocs.rules.attribution import Attribution
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.running import is_running
from ocs.store.tables import Run
from ocs.store.tables_teams import AgentRow


@dataclass(frozen=True, slots=True)
class Known:
    """An agent: what was said of it, how many turns it takes now, and when it was last heard of."""

    id: str
    said: AgentRow | None = None
    turns: int = 0
    last_seen_at: datetime | None = None


async def agents(store: Store) -> list[Known]:
    """Every agent that was set, or has taken a turn of which there is a record, by id."""
    last_seen = [func.max(moment) for moment in (Run.started_at, Run.finished_at, Run.last_activity_at)]
    turns = func.sum(case((is_running(), 1), else_=0))
    of_each = select(col(Run.agent), turns, *last_seen).where(col(Run.agent).is_not(None))
    async with store.reading() as session:
        found = {row.id: Known(row.id, row) for row in await session.scalars(select(AgentRow))}
        for row in (await session.execute(of_each.group_by(col(Run.agent)))).all():
            agent, running, *seen = tuple(row)
            last = max((moment for moment in seen if moment is not None), default=None)
            found[agent] = Known(agent, found[agent].said if agent in found else None, int(running), last)
    return [found[agent] for agent in sorted(found)]


async def agent(store: Store, agent_id: str) -> Known:
    """One agent.

    Raises:
        NotFound: it was never set, and no turn of it is on record.
    """
    for known in await agents(store):
        if known.id == agent_id:
            return known
    raise NotFound(
        f'There is no agent "{agent_id}" on record.',
        hint=f"See them: ocs agents list   Say something of it: ocs agents set {agent_id} --can review",
    )


async def results_of(store: Store, agent_id: str) -> tuple[str, ...]:
    """Who hears the results of an agent's tasks, when a task does not say."""
    async with store.reading() as session:
        row = await session.get(AgentRow, agent_id)
        return tuple(row.targets) if row is not None else ()


async def set_agent(
    store: Store,
    agent_id: str,
    *,
    name: str | None = None,
    capabilities: Sequence[str] | None = None,
    targets: Sequence[str] | None = None,
    by: Attribution,
) -> None:
    """Say something of an agent; None stays as it was."""
    async with store.transaction(lock=(f"agent:{agent_id}",)) as session:
        row = await session.get(AgentRow, agent_id)
        before = _said(row) if row is not None else None
        row = row or AgentRow(id=agent_id, updated_by=by.actor, updated_at=by.now)
        row.name = row.name if name is None else name
        row.capabilities = row.capabilities if capabilities is None else list(capabilities)
        row.targets = row.targets if targets is None else list(targets)
        row.updated_by, row.updated_at = by.actor, by.now
        session.add(row)
        record(session, "agent-set", by=by, before=before, after=_said(row))


def _said(row: AgentRow) -> dict[str, object]:
    return {"agent": row.id, "name": row.name, "capabilities": row.capabilities, "to": row.targets}
