"""Prefect's states for what the store says of a run: the same words in both."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed

from ocs.rules.dispatch import RunStatus

SKIPPED = "Skipped"
"""The name of the state of a run that a guard stands against."""


def state_of(status: RunStatus, why: str) -> State:
    """The state a flow run ends in whose run ended so."""
    match status:
        case RunStatus.OK:
            return Completed(name="Ok", message=why)
        case RunStatus.SKIPPED:
            return Completed(name=SKIPPED, message=why)
        case RunStatus.TIMEOUT:
            return Failed(name="TimedOut", message=why)
        case RunStatus.CANCELLED:
            return Cancelled(message=why)
        case RunStatus.CRASHED:
            return Crashed(message=why)
        case _:
            return Failed(message=why)


def queued(why: str) -> State:
    """The state of a flow run whose dispatch is queued, and goes on in another one."""
    return Completed(name="Queued", message=why)


async def tell_to_end(client: PrefectClient, flow_run_id: UUID, why: str) -> bool:
    """Whether Prefect has the flow run; one that has ended meanwhile stays as it ended."""
    try:
        await client.set_flow_run_state(flow_run_id, Cancelling(message=why))
    except ObjectNotFound:
        return False
    return True


def is_broken(state: State) -> bool:
    """Whether a flow run that has left no record ended because something broke, and by nobody's decision.

    Only the store knows whether such a one has run. A person makes a flow run Cancelled that has not begun, and it
    becomes Completed by hand or after its end was recorded: that stands, with a record or without.
    """
    return state.type in (StateType.FAILED, StateType.CRASHED)
