"""The events stream: it says at once that a run is scheduled, is to be cancelled or suspended, by whom ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

from prefect.client.schemas.objects import StateType
from prefect.events import Event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventResourceFilter
from prefect.events.schemas.events import ResourceSpecification

from ocs.transient import pauses
from ocs.worker.periodic import Logger

STATE_TYPE = "prefect.state-type"
STATE_NAME = "prefect.state-name"
LATE = "Late"
"""Prefect calls a run so that is overdue: no news, and many of them when the server has least time."""
RUN_PREFIX = "prefect.flow-run."
WANTED = (StateType.SCHEDULED, StateType.CANCELLING, StateType.PAUSED)


async def listen(
    work_pool_id: UUID,
    *,
    on_scheduled: Callable[[], None],
    on_stopping: Callable[[UUID], None],
    logger: Logger,
) -> None:
    """Listen for ever. While the stream is away the worker polls, and so finds what it has missed.

    A new connection repeats the last minute, so an event may be out of date.
    """
    pausing = pauses()
    while True:
        try:
            async with get_events_subscriber(filter=_about(work_pool_id), reconnection_attempts=0) as events:
                logger.debug("Listening to events")
                on_scheduled()
                pausing = pauses()
                async for event in events:
                    _handle(event, on_scheduled, on_stopping)
        except Exception as lost:
            logger.debug("The events stream is away: %r", lost)
        await asyncio.sleep(next(pausing))


def _about(work_pool_id: UUID) -> EventFilter:
    """Changes of runs of this pool to a state of a wanted type."""
    states = ResourceSpecification({STATE_TYPE: [state.value for state in WANTED]})
    return EventFilter(
        resource=EventResourceFilter(labels=states),
        any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{work_pool_id}"]),
    )


def _handle(event: Event, on_scheduled: Callable[[], None], on_stopping: Callable[[UUID], None]) -> None:
    if event.resource.get(STATE_TYPE) == StateType.SCHEDULED.value:
        if event.resource.get(STATE_NAME) != LATE:
            on_scheduled()
    else:
        on_stopping(UUID(event.resource.id.removeprefix(RUN_PREFIX)))
