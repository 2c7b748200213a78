"""prefect-openclaw from Python: load jobs, roll them out, run them, decide approvals, read what ran.

Each function speaks to the server and store that the `ocs` command would: PREFECT_API_URL, OCS_HOME and OCS_STORE_URL
say which, else it is what `ocs up` runs. What goes wrong is an `OcsError` with a `hint`. A function waits for its
answer; a program with an event loop writes `await ocs.run.aio(...)`. Nothing is loaded before it is used.

Example:
    >>> import ocs
    >>> ocs.roll_out("~/jobs")
    >>> ended = ocs.run("nightly-report")
    >>> print(ended.status, ocs.output(ended.id))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocs.exports import lazily

if TYPE_CHECKING:
    from deployments.rollout import Plan
    from ocs.errors import InvalidJob, NotFound, OcsError, Problem, Refused, ServerUnreachable, StoreError, UsageError
    from ocs.public import (
        approvals,
        approve,
        cancel,
        cancel_run,
        load_jobs,
        output,
        parse_job,
        plan,
        reject,
        roll_out,
        run,
        runs,
        send_message,
        start,
    )
    from ocs.service.records import Approval, Run, Status
    from ocs.service.rollout import NotAllRolledOut
    from ocs.service.running import Started
    from ocs.service.stopping import Cancelled
    from ocs.spec import Job

HOMES = {
    "deployments.rollout": ("Plan",),
    "ocs.errors": (
        "InvalidJob",
        "NotFound",
        "OcsError",
        "Problem",
        "Refused",
        "ServerUnreachable",
        "StoreError",
        "UsageError",
    ),
    "ocs.public": (
        "approvals",
        "approve",
        "cancel",
        "cancel_run",
        "load_jobs",
        "output",
        "parse_job",
        "plan",
        "reject",
        "roll_out",
        "run",
        "runs",
        "send_message",
        "start",
    ),
    "ocs.service.records": ("Approval", "Run", "Status"),
    "ocs.service.rollout": ("NotAllRolledOut",),
    "ocs.service.running": ("Started",),
    "ocs.service.stopping": ("Cancelled",),
    "ocs.spec": ("Job",),
}
"""Where each name comes from: the modules are imported when a name is asked for."""

__all__ = [
    "Approval",
    "Cancelled",
    "InvalidJob",
    "Job",
    "NotAllRolledOut",
    "NotFound",
    "OcsError",
    "Plan",
    "Problem",
    "Refused",
    "Run",
    "ServerUnreachable",
    "Started",
    "Status",
    "StoreError",
    "UsageError",
    "approvals",
    "approve",
    "cancel",
    "cancel_run",
    "load_jobs",
    "output",
    "parse_job",
    "plan",
    "reject",
    "roll_out",
    "run",
    "runs",
    "send_message",
    "start",
]

__getattr__, __dir__ = lazily(__name__, HOMES)
