"""The flow every job is a deployment of: prepare, execute by strategy, finalize."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Awaitable
from typing import cast

from prefect import State, flow

from ocs import settings
from ocs.rules.dispatch import DispatchContext, DispatchResult, RunStatus
from ocs.signals import on_signals
from ocs.spec import Job
from ocs.store import ApprovalRequested, Claimed, Declined, Forbidden, Queued, Rejected
from tasks import cancellation
from tasks.adapter import log_lines, runtime
from tasks.adapter.pausing import go_on_when_paused
from tasks.adapter.states import queued, state_of
from tasks.approvals.form import suspend
from tasks.approvals.gate import Withdrawn
from tasks.execute import execute
from tasks.finalize import finalize
from tasks.prepare import prepare
from tasks.recovery.heartbeat import leased


@flow(
    name=settings.FLOW_NAME,
    description="Runs one job: may it run, run it, record what follows.",
    persist_result=False,
    validate_parameters=True,
)
async def run_job(job: Job) -> State:
    """Run one job once and end in the state that says how it went, or suspend until a person has decided.

    Safe to enter again with the same flow run id: prepare finds what was already recorded.
    """
    go_on_when_paused()
    log_lines.put_right()
    with cancellation.cancellable(runtime.current_flow_run().id) as scope, _stoppable_by_signal(scope):
        try:
            prepared = await prepare(job)
        except cancellation.Cancelled:
            return state_of(RunStatus.CANCELLED, "Cancelled before it started; nothing was run.")
        job, claimed = prepared.job, prepared.verdict
        match claimed:
            case Rejected(skip=skip, status=status):
                return state_of(status, skip.why)
            case Forbidden(why=why):
                return state_of(RunStatus.ERROR, why)
            case Queued(wait=wait):
                return queued(wait.why)
            case ApprovalRequested():
                await suspend(claimed)
            case Withdrawn(why=why):
                return state_of(RunStatus.CANCELLED, why)
            case Declined(context=context, why=why):
                declined = DispatchResult(RunStatus.CANCELLED, error=why, declined=True)
                outcome = await finalize(job, context, declined)
            case Claimed(context=context):
                async with leased(context):
                    result = await _execute(job, prepared.project, context)
                    outcome = await finalize(job, context, result, prepared.seen)
        return state_of(outcome.status, outcome.why)


async def _execute(job: Job, project: str | None, context: DispatchContext) -> DispatchResult:
    """A job that fails leaves a red task behind and is a result all the same; so is a defect of ours.

    Its key stays claimed: after a defect nobody knows whether the command had begun.
    """
    ended = await cast("Awaitable[State[DispatchResult]]", execute(job, project, context, return_state=True))
    result = await ended.aresult(raise_on_failure=False)
    if isinstance(result, Exception):
        return DispatchResult(RunStatus.ERROR, error=f"It could not be executed: {result!r}")
    if isinstance(result, BaseException):
        raise result
    return result


def _stoppable_by_signal(scope: cancellation.Scope) -> contextlib.AbstractContextManager[None]:
    """Prefect's process worker stops a run by SIGTERM to the process that holds only this run."""
    return on_signals(scope.request, signal.SIGTERM) if runtime.ends_with_its_run() else contextlib.nullcontext()
