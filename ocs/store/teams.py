"""Teams: who belongs to one. A message to a team is for each of its members."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col, select

from ocs.errors import NotFound
from ocs.rules.attribution import Attribution
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.tables_teams import TeamMember


async def members_of(session: AsyncSession, team: str) -> list[str]:
    """Who belongs to a team, by name.

    Raises:
        NotFound: there is no such team.
    """
    found = await session.scalars(
        select(TeamMember.member).where(TeamMember.team == team).order_by(col(TeamMember.member))
    )
    if members := list(found):
        return members
    raise NotFound(f'There is no team "{team}".', hint="See them: ocs team list   Make it: ocs team set NAME -m LABEL")


async def team(store: Store, name: str) -> list[str]:
    """Who belongs to a team, by name.

    Raises:
        NotFound: there is no such team.
    """
    async with store.reading() as session:
        return await members_of(session, name)


async def teams(store: Store) -> dict[str, list[str]]:
    """All teams with their members, by name."""
    found: dict[str, list[str]] = {}
    async with store.reading() as session:
        for row in await session.scalars(select(TeamMember).order_by(col(TeamMember.team), col(TeamMember.member))):
            found.setdefault(row.team, []).append(row.member)
    return found


async def set_team(store: Store, name: str, members: Sequence[str], *, by: Attribution) -> None:
    """Make a team of these members, or have them be the members of that team; none ends it."""
    of_it = TeamMember.team == name
    async with store.transaction(lock=(f"team:{name}",)) as session:
        before = list(await session.scalars(select(TeamMember.member).where(of_it).order_by(col(TeamMember.member))))
        await session.execute(delete(TeamMember).where(col(TeamMember.team) == name))
        session.add_all(TeamMember(team=name, member=member) for member in members)
        action = "team-set" if members else "team-removed"
        record(session, action, by=by, before={"team": name, "members": before}, after={"members": sorted(members)})
