"""Execute: run the job by its strategy, until it ends or is stopped."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from logging import INFO, WARNING
from pathlib import Path
from typing import cast

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.logging.loggers import PrefectLogAdapter
from prefect.states import Completed, Failed

from ocs import projects
from ocs.errors import OcsError, Unusable
from ocs.extensions import imported
from ocs.rules.dispatch import DispatchContext, DispatchResult, RunStatus
from ocs.rules.shell_result import CANCELLED
from ocs.spec import Job, format_duration
from ocs.spec.strategy import STRATEGIES, Unavailable
from ocs.spec.values import Part
from tasks.cancellation import Cancelled, scope_of
from tasks.strategies.work import Work

Runner = Callable[[Part, Work], Awaitable[DispatchResult]]


def _never_again(*_state: object) -> bool:
    """Whether to try again: never, a retry is a run of its own.

    Asked, Prefect does not write the whole result into the log, as it does for a task that has no retries.
    """
    return False


@task(
    name="execute",
    task_run_name="execute",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=1,
    retry_condition_fn=_never_again,
)
async def execute(job: Job, project: str | None, context: DispatchContext) -> State[DispatchResult]:
    """Run the job, of that project, and say how it went. What a job can do wrong is a result, not an exception.

    The result is the data of a state that shows in the UI whether the job did well.
    """
    result = await _result(job, project, context)
    if result.status is RunStatus.OK:
        return Completed(name="Ok", data=result)
    return Failed(name=result.status.title(), message=result.error, data=result)


async def _result(job: Job, project: str | None, context: DispatchContext) -> DispatchResult:
    try:
        work = Work(job, context, projects.folder_of(project), _show())
        return await scope_of(context.flow_run_id).run(_by_strategy(work))
    except Cancelled:
        return DispatchResult(RunStatus.CANCELLED, error=CANCELLED)
    except OcsError as refused:
        return DispatchResult(RunStatus.ERROR, error=_sentence(refused))


async def _by_strategy(work: Work) -> DispatchResult:
    """Have the job's strategy do it.

    Raises:
        Unusable: it is not installed here, cannot be loaded, or gave no result.
    """
    asked = work.job.run
    strategy = STRATEGIES.get(asked.strategy)
    if isinstance(asked.work, Unavailable):
        raise Unusable(asked.work.why)
    # Importing may take its time, which is nothing for the other runs to wait for.
    run = cast("Runner", await asyncio.to_thread(imported, strategy.run))
    limit = asyncio.timeout(None if strategy.keeps_time else asked.timeout.total_seconds())
    try:
        async with limit:
            result = cast("object", await run(asked.work, work))
    except OcsError:
        raise
    except Exception as defect:
        if limit.expired():
            return DispatchResult(RunStatus.TIMEOUT, error=f"Timed out after {format_duration(asked.timeout)}.")
        return DispatchResult(RunStatus.ERROR, error=_defect(asked.strategy, defect))
    if not isinstance(result, DispatchResult):
        raise Unusable(f"The strategy {asked.strategy} ended with {type(result).__name__}, which is no DispatchResult.")
    return result


def _defect(strategy: str, defect: Exception) -> str:
    """Where it happened; what it says is not repeated, for it may hold an address or a token."""
    frames = traceback.extract_tb(defect.__traceback__)
    get_run_logger().error("The strategy %s has a defect:\n%s", strategy, "".join(traceback.format_list(frames)))
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    return f"The strategy {strategy} has a defect: {type(defect).__name__} in {place}."


def _show() -> Callable[[str, str], None]:
    """Puts a line of a stream into the run's log; `activity` is what is done beside what is said."""
    logger = cast("PrefectLogAdapter", get_run_logger())
    streams = {stream: logger.getChild(stream) for stream in ("stdout", "stderr", "activity")}

    def show(stream: str, line: str) -> None:
        streams[stream].log(WARNING if stream == "stderr" else INFO, "%s", line)

    return show


def _sentence(error: OcsError) -> str:
    return f"{error.message} {error.hint}" if error.hint else error.message
