"""Teams and agents: who belongs together, what each does now, and what a team has before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ocs.errors import UsageError
from ocs.rules.attribution import Attribution
from ocs.rules.messages import TEAM, checked_name
from ocs.rules.trackers import checked_members
from ocs.rules.wording import utc

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.agents import Known

LONGEST_TEAM = 120
MOST_CAPABILITIES = 50


def checked_team(name: str) -> str:
    """A team's name, cleaned.

    Raises:
        UsageError: it is too long to be a recipient.
        Refused: it is empty, or more than plain text on a line.
    """
    cleaned = checked_name("team", name).removeprefix(TEAM)
    if not cleaned or len(cleaned) > LONGEST_TEAM:
        raise UsageError(f"A team's name has 1 to {LONGEST_TEAM} characters.")
    return cleaned


async def set_team(store: Store, name: str, members: Sequence[str], *, by: Attribution) -> dict[str, Any]:
    """Make a team of these members, or have them be the members of that team.

    Raises:
        UsageError: there is none.
        Refused: one stands there twice, or a name is none.
    """
    from ocs.store import teams

    await teams.set_team(store, checked_team(name), checked_members(members), by=by)
    return await view(store, checked_team(name))


async def remove_team(store: Store, name: str, *, by: Attribution) -> None:
    """End a team; what was sent to it, and its gates, stay.

    Raises:
        NotFound: there is no such team.
    """
    from ocs.store import teams

    await teams.team(store, name)
    await teams.set_team(store, name, (), by=by)


async def listed(store: Store) -> list[dict[str, Any]]:
    """All teams, each with its members and the names of its open gates."""
    from ocs.store import teams, trackers

    gates = [tracker for tracker, _ in await trackers.newest(store, limit=1000, only_open=True)]
    return [
        {"name": name, "members": members, "open_gates": [gate.name for gate in gates if gate.team == name]}
        for name, members in (await teams.teams(store)).items()
    ]


async def view(store: Store, name: str, *, limit: int = 20) -> dict[str, Any]:
    """A team: what its members do, its gates, and its mailbox with who has not acknowledged what.

    Raises:
        NotFound: there is no such team.
    """
    from ocs.service.trackers import listed as trackers_of
    from ocs.store import acknowledgements, agents, teams

    members = await teams.team(store, name)
    known = {each.id: each for each in await agents.agents(store)}
    mailbox = await acknowledgements.of_team(store, name, limit=limit)
    missing = await acknowledgements.missing(store, mailbox)
    return {
        "name": name,
        "members": [_agent_view(known[each]) if each in known else {"id": each, "status": None} for each in members],
        "gates": await trackers_of(store, only_open=False, team=name, limit=limit),
        "mailbox": [
            {
                "id": str(message.id),
                "from": message.sender,
                "kind": str(message.kind),
                "subject": message.subject,
                "body": message.body,
                "created_at": utc(message.created_at),
                "ack_by": utc(message.ack_by),
                "not_acknowledged_by": missing.get(message.id, []),
            }
            for message in mailbox
        ],
    }


async def agents_listed(store: Store, *, can: str | None = None) -> list[dict[str, Any]]:
    """Every agent on record, or those that can do something."""
    from ocs.store import agents

    views = [_agent_view(known) for known in await agents.agents(store)]
    return [each for each in views if can is None or can in each["capabilities"]]


async def agent(store: Store, agent_id: str) -> dict[str, Any]:
    """One agent, with the tasks that it has not ended.

    Raises:
        NotFound: it was never set, and no turn of it is on record.
    """
    from ocs.service import session
    from ocs.service.dispatching import task_view
    from ocs.store import agents, inbox, tasks

    known = await agents.agent(store, agent_id)
    mine = [told for told in await tasks.open_ones(store) if told.task.agent == agent_id]
    return {
        **_agent_view(known),
        "tasks": [task_view(told) for told in mine],
        "unread": await inbox.unread(store, agent_id, now=session.now()),
    }


async def set_agent(
    store: Store,
    agent_id: str,
    *,
    name: str | None,
    capabilities: Sequence[str] | None,
    to: Sequence[str] | None,
    by: Attribution,
) -> dict[str, Any]:
    """Say something of an agent; what is None stays as it was, and an empty word takes all of its kind away.

    Raises:
        UsageError: a target is none, nothing is said, or too many capabilities.
        Refused: a name is none.
    """
    from ocs.service.trackers import checked_targets
    from ocs.store import agents

    if name is None and capabilities is None and to is None:
        raise UsageError("What is to be said of it? Give --name, --can or --to.")
    can = [checked_name("capability", each) for each in capabilities if each] if capabilities is not None else None
    if can is not None and len(can) > MOST_CAPABILITIES:
        raise UsageError(f"An agent has {MOST_CAPABILITIES} capabilities at most.")
    await agents.set_agent(
        store,
        checked_name("agent", agent_id),
        name=checked_name("name", name) if name else name,
        capabilities=list(dict.fromkeys(can)) if can is not None else None,
        targets=checked_targets([each for each in to if each]) if to is not None else None,
        by=by,
    )
    return await agent(store, checked_name("agent", agent_id))


def _agent_view(known: Known) -> dict[str, Any]:
    said = known.said
    return {
        "id": known.id,
        "name": said.name if said else "",
        "status": "busy" if known.turns else "idle",
        "turns": known.turns,
        "last_seen_at": utc(known.last_seen_at),
        "capabilities": said.capabilities if said else [],
        "to": said.targets if said else [],
    }
