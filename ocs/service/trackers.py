"""Trackers: made, followed, ended, and how they are seen."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ocs.errors import ServerUnreachable, UsageError
from ocs.rules.attribution import Attribution
from ocs.rules.messages import checked_detail
from ocs.rules.trackers import MemberStatus, TrackerStatus, checked_members
from ocs.service import session

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.membership import NewTracker
    from ocs.store.outbox import PendingDispatch
    from ocs.store.tables_teams import Tracker
    from ocs.store.trackers import Standing

LOOKS_EVERY = 1.0
MOST_TARGETS = 50
GATES = {
    TrackerStatus.OPEN: "waiting",
    TrackerStatus.COMPLETED: "passed",
    TrackerStatus.FAILED: "failed",
    TrackerStatus.CLOSED: "closed",
}
"""How the tracker of a team stands as its gate."""


async def create(store: Store, new: NewTracker, *, by: Attribution) -> dict[str, Any]:
    """Make a tracker; without members of its own that of a team has the team's.

    Raises:
        NotFound: there is no such team, or the job that is to follow is not rolled out.
        UsageError: it has no member.
        Refused: one of that name is open, or something of it cannot be kept.
    """
    from ocs.store import teams, trackers

    members = new.members
    if new.team is not None:
        of_team = await teams.team(store, new.team)
        members = members or tuple(of_team)
    new = replace(await checked(new), members=checked_members(members))
    await trackers.create(store, new, by=by)
    return await view(store, new.name)


async def checked(new: NewTracker) -> NewTracker:
    """The tracker, if the job that is to follow it is rolled out, and its targets are targets.

    Raises:
        NotFound: that job is not rolled out.
        UsageError: a target is none.
    """
    from ocs.service.deployed import deployed_job

    checked_targets(new.targets)
    if new.then_job is None:
        return new
    async with session.server() as client:
        return replace(new, then_job=(await deployed_job(client, new.then_job)).id)


def checked_targets(targets: Sequence[str]) -> list[str]:
    """The targets, if each has the form of one.

    Raises:
        UsageError: one has not, or is too long, or they are too many.
    """
    from ocs.spec.target import LONGEST_CHANNEL, LONGEST_TARGET, address

    longest = LONGEST_CHANNEL + 1 + LONGEST_TARGET
    if len(targets) > MOST_TARGETS:
        raise UsageError(f"--to: {len(targets)} targets are too many; at most {MOST_TARGETS} are told.")
    for target in targets:
        if len(target) > longest:
            raise UsageError(f"--to: a target has at most {longest} characters, and one of these has {len(target):,}.")
        try:
            address(target)
        except ValueError as wrong:
            raise UsageError(f"--to: {wrong}") from wrong
    return list(targets)


async def add(store: Store, name: str, labels: Sequence[str], *, by: Attribution) -> dict[str, Any]:
    """Add members to an open tracker.

    Raises:
        NotFound: there is no such tracker.
        Refused: it has ended, or has one of that label.
    """
    from ocs.store import trackers

    await trackers.add(store, name, checked_members(labels), by=by)
    return await view(store, name)


async def heartbeat(store: Store, name: str, member: str, *, by: Attribution) -> dict[str, Any]:
    """Note that a member that is no task works.

    Raises:
        NotFound: there is no such tracker or member.
        Refused: it has ended, or is a task.
    """
    from ocs.store import trackers

    await trackers.heartbeat(store, name, member, by=by)
    return await view(store, name)


async def end_member(
    store: Store, name: str, member: str, ended: MemberStatus, *, message: str | None, by: Attribution
) -> dict[str, Any]:
    """Note that a member that is no task has ended; the last one closes the tracker.

    Raises:
        NotFound: there is no such tracker or member.
        Refused: it has ended, or is a task, or the message is too long.
    """
    from ocs.store import trackers

    said = checked_detail(message) or ""
    await _send(store, await trackers.end_member(store, name, member, ended, message=said, by=by))
    return await view(store, name)


async def close(store: Store, name: str, *, why: str | None, by: Attribution) -> dict[str, Any]:
    """End a tracker before its members have; its tasks go on, and no job follows.

    Raises:
        NotFound: there is no such tracker.
        Refused: it has ended, or the reason is too long.
    """
    from ocs.store import trackers

    await trackers.close(store, name, why=checked_detail(why) or "", by=by)
    return await view(store, name)


async def wait(store: Store, name: str) -> dict[str, Any]:
    """The tracker, once it has ended.

    Raises:
        NotFound: there is none of that name.
    """
    import asyncio

    while True:
        found = await view(store, name)
        if found["status"] != TrackerStatus.OPEN:
            return found
        await asyncio.sleep(LOOKS_EVERY)


async def view(store: Store, name: str) -> dict[str, Any]:
    """The newest tracker of that name as programs see it.

    Raises:
        NotFound: there is none.
    """
    from ocs.store import trackers

    return tracker_view(*await trackers.by_name(store, name))


async def listed(store: Store, *, only_open: bool, team: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest trackers, newest first."""
    from ocs.store import trackers

    found = await trackers.newest(store, limit=limit, only_open=only_open, team=team)
    return [tracker_view(tracker, members) for tracker, members in found]


def tracker_view(tracker: Tracker, members: Sequence[Standing]) -> dict[str, Any]:
    """A tracker as programs see it."""
    return {
        "name": tracker.name,
        "id": str(tracker.id),
        "status": str(tracker.status),
        "team": tracker.team,
        "gate": GATES[tracker.status] if tracker.team is not None else None,
        "members": [_member_view(each) for each in members],
        "to": tracker.targets,
        "then": tracker.then_job,
        "then_on": str(tracker.then_on) if tracker.then_job else None,
        "followed_by": str(tracker.then_dispatch) if tracker.then_dispatch else None,
        "created_at": tracker.created_at,
        "created_by": tracker.created_by,
        "deadline_at": tracker.deadline_at,
        "ended_at": tracker.ended_at,
        "summary": tracker.summary,
    }


def _member_view(standing: Standing) -> dict[str, Any]:
    member, told = standing.member, standing.told
    run_id = member.run_id or (told.last.id if told and told.last else None)
    return {
        "label": member.label,
        "status": str(standing.status),
        "task": str(member.task_id) if member.task_id else None,
        "run": str(run_id) if run_id else None,
        "doing": told.last.doing if told and told.last and standing.status is MemberStatus.RUNNING else None,
        "heard_at": member.heard_at,
        "ended_at": member.ended_at,
        "message": member.message,
    }


async def _send(store: Store, following: Sequence[PendingDispatch]) -> None:
    """Send the job that follows at once; without a server the worker does it with its next look."""
    if not following:
        return
    from tasks.adapter.publish import publish

    with contextlib.suppress(ServerUnreachable):
        async with session.server() as client:
            await publish(client, store, following)
