"""Leftovers: end what a worker that is gone has left running on this host, before anything takes its place."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from uuid import UUID

from prefect.logging import get_logger

from blocks.gateway import GatewayError, gateway
from blocks.gateway_sessions import stop
from ocs import settings
from ocs.rules.session_key import is_of_one_run
from ocs.store import Lease
from ocs.timing import timing
from tasks.recovery import owner
from tasks.strategies import sessions
from tasks.strategies.sessions import Family, Process, Session


async def end_leftovers(lost: Sequence[Lease]) -> dict[UUID, list[Process]]:
    """End the processes of runs whose owner is gone, all at once; returns what lives on, by run.

    It leaves runs of other hosts: nobody here can look at their processes.
    """
    left = [session_of(lease) for lease in lost if owner.is_of_this_host(lease.owner)]
    grace, kill = timing().orphan_grace.total_seconds(), timing().kill.total_seconds()
    living = await asyncio.to_thread(sessions.end, left, grace, kill)
    return {UUID(session.run): processes for session, processes in living.items() if processes}


async def stop_turns(lost: Sequence[Lease]) -> None:
    """End what a gateway goes on with of turns that nobody listens to any more, sub-agents first of all.

    One that was killed with the worker finishes the turn when it is back; it cannot be told to before. Conversations
    that others speak in are left alone: nobody knows any more what in them is the run's.
    """
    keys = [lease.session_key for lease in lost if lease.session_key and is_of_one_run(lease.session_key)]
    if not keys:
        return
    logger = get_logger(__name__)
    try:
        reached = await gateway()
    except GatewayError as failed:
        logger.warning("Turns that were cut off could not be ended in the gateway: %s", failed.message)
        return
    stopped = await asyncio.gather(*(stop(reached, key, archive=True) for key in keys))
    for key in (key for key, done in zip(keys, stopped, strict=True) if not done):
        logger.warning("The gateway could not be asked to end what goes on in %s", key)


def living(lease: Lease) -> list[Process]:
    """What lives of a run, on this host: of another host's nobody here can know."""
    return Family(session_of(lease)).living() if owner.is_of_this_host(lease.owner) else []


def session_of(lease: Lease) -> Session:
    """The session of a run, by what its worker had recorded of it."""
    return Session(str(lease.context.run_id), lease.pid, lease.pid_started_at or 0.0)


def remove_outputs(lease: Lease) -> None:
    """Remove what it had begun to write of its output on this host: nothing refers to it any more."""
    if owner.is_of_this_host(lease.owner):
        shutil.rmtree(settings.outputs_of(lease.context.run_id), ignore_errors=True)
