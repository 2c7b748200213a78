"""Lines that Prefect's engine writes into the log of a run, where they would mislead whoever reads it.

That a run waits for a person is no error, and that `prepare` has finished is not the end of the job.
"""

from __future__ import annotations

import logging

ENDED = "Finished in state "
SUSPENDED = f"{ENDED}Suspended"
WENT_WELL = f"{ENDED}Completed()"
WAITS = "Waits for a person's decision: in the UI, or with  ocs approvals list"
OURS = ("prepare", "finalize")
"""The tasks around the job, of which only what goes wrong is of interest."""


def _of_flow(record: logging.LogRecord) -> bool:
    if record.getMessage().startswith(SUSPENDED):
        record.msg, record.args = WAITS, ()
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return True


def _of_task(record: logging.LogRecord) -> bool:
    return getattr(record, "task_name", None) not in OURS or record.getMessage() != WENT_WELL


def put_right() -> None:
    """From now on in this process; repeating it is harmless."""
    logging.getLogger("prefect.flow_runs").addFilter(_of_flow)
    logging.getLogger("prefect.task_runs").addFilter(_of_task)
