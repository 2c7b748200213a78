"""The flow every job is a deployment of: prepare, execute by strategy, finalize."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable
from typing import cast

from prefect import State, flow
from prefect.states import Cancelled as CancelledState
from prefect.states import Completed, Crashed, Failed

from ocs import settings
from ocs.rules.dispatch import DispatchContext, DispatchResult, RunStatus
from ocs.spec import Job
from ocs.store import Claimed, Deferred, Outcome, Rejected
from tasks import cancellation
from tasks.execute import execute
from tasks.finalize import finalize
from tasks.prepare import current_flow_run, prepare


@flow(
    name=settings.FLOW_NAME,
    description="Runs one job: may it run, run it, record what follows.",
    persist_result=False,
    validate_parameters=True,
)
async def run_job(job: Job) -> State:
    """Run one job once and end in the state that says how it went.

    Safe to enter again with the same flow run id: prepare finds what was already recorded.
    """
    with cancellation.cancellable(current_flow_run().id) as scope, _stoppable_by_signal(scope):
        try:
            claimed = await prepare(job)
        except cancellation.Cancelled:
            return CancelledState(message="Cancelled before it started; nothing was run.")
        match claimed:
            case Rejected(skip=skip):
                return Completed(name="Skipped", message=skip.why)
            case Deferred(wait=wait):
                return Completed(name="Queued", message=wait.why)
            case Claimed():
                pass
        return _state(await finalize(job, claimed.context, await _execute(job, claimed.context)))


async def _execute(job: Job, context: DispatchContext) -> DispatchResult:
    """A job that did badly leaves a red task behind and is a result all the same; a task that broke raises."""
    ended = await cast("Awaitable[State[DispatchResult]]", execute(job, context, return_state=True))
    result = await ended.aresult(raise_on_failure=False)
    if isinstance(result, BaseException):
        raise result
    return result


def _state(outcome: Outcome) -> State:
    """The Prefect state that says the same as the run's status."""
    match outcome.status:
        case RunStatus.OK:
            return Completed(name="Ok", message=outcome.why)
        case RunStatus.SKIPPED:
            return Completed(name="Skipped", message=outcome.why)
        case RunStatus.TIMEOUT:
            return Failed(name="TimedOut", message=outcome.why)
        case RunStatus.CANCELLED:
            return CancelledState(message=outcome.why)
        case RunStatus.CRASHED:
            return Crashed(message=outcome.why)
        case _:
            return Failed(message=outcome.why)


def _stoppable_by_signal(scope: cancellation.Scope) -> contextlib.AbstractContextManager[None]:
    """Prefect's process worker stops a run by SIGTERM to the process that holds only this run."""
    if "PREFECT__FLOW_RUN_ID" not in os.environ:
        return contextlib.nullcontext()
    return cancellation.on_terminate(scope.request)
