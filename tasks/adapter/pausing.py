"""Pausing: a run that has begun goes on, even when somebody pauses or suspends its flow run.

Prefect's engine would leave the run at its next task, and lose what it has done: nobody can halt a process and continue
it later somewhere else. The suspension request is a name of Prefect's that is not public; a test pins it.
"""

from __future__ import annotations

from prefect.context import FlowRunContext


def go_on_when_paused() -> None:
    """Have the flow that this is called in end as it ends; that end replaces the pause in Prefect."""
    if (context := FlowRunContext.get()) is not None:
        context.flow_run_suspension_request.raise_if_requested = _no_request_counts


def _no_request_counts() -> None:
    """In the place of what raises `Pause` at the next task."""
