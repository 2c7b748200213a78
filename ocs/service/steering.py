"""Steering tasks: what a person says to one while it works, and what became of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ocs.errors import Refused
from ocs.rules.attribution import Attribution
from ocs.rules.steering import SteerOutcome, checked_steer
from ocs.rules.tasks import TaskStatus
from ocs.timing import timing

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables_tasks import Steer
    from ocs.store.tasks import Told

LOOKS = 3
"""A worker has looked so often before one stops waiting for its word."""
AGAIN = 0.2


async def steer(store: Store, label: str, text: str, *, at_once: bool = False, by: Attribution) -> tuple[Told, Steer]:
    """Say something to a task's agent; returns how the task stands, and the steer as its worker has taken it.

    Raises:
        NotFound: there is no such task.
        Refused: it has ended or is ending, waits for a person's decision, or what is said is no text or too much.
    """
    from ocs.store import steers, tasks

    said = checked_steer(text)
    task = (await tasks.by_label(store, label)).task
    if not task.agent:
        raise Refused(f"{label} is a command; it reads nothing.", hint=f"End it: ocs dispatch cancel {label}")
    written, told = await steers.add(store, task, said, at_once=at_once, by=by)
    if told.status is TaskStatus.RUNNING:
        written = await _taken(store, written)
    return told, written


async def _taken(store: Store, steer: Steer) -> Steer:
    """The steer once it is known what its worker does with it, or is not in time.

    One that is sent while a turn goes on may still be refused by the gateway.
    """
    from ocs.store import steers

    loop = asyncio.get_running_loop()
    until = loop.time() + LOOKS * timing().steer_look.total_seconds()
    open_yet = (SteerOutcome.PENDING,) if steer.at_once else (SteerOutcome.PENDING, SteerOutcome.SENT)
    while steer.outcome in open_yet and loop.time() < until:
        await asyncio.sleep(AGAIN)
        steer = await steers.one(store, steer.id) or steer
    return steer


async def steers_view(store: Store, told: Told) -> list[dict[str, Any]]:
    """What people said to a task, oldest first, as programs see it."""
    from ocs.store import steers

    return [steer_view(each, told) for each in await steers.of_task(store, told.task.id)]


def steer_view(steer: Steer, told: Told) -> dict[str, Any]:
    """A steer as programs see it. One that nobody was told when its task ended is unheard."""
    outcome = steer.outcome
    if not told.status.is_open and steer.settled_at is None:
        outcome = SteerOutcome.UNSURE if steer.told else SteerOutcome.UNHEARD
    return {
        "id": str(steer.id),
        "text": steer.text,
        "actor": steer.actor,
        "now": steer.at_once,
        "created_at": steer.created_at,
        "outcome": str(outcome),
        "told": steer.told,
        "run": str(steer.run_id) if steer.run_id else None,
        "settled_at": steer.settled_at,
    }
