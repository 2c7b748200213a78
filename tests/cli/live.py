"""What tests of a running system ask: facts that become true, runs of a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.cli.command import Ocs

T = TypeVar("T")


def eventually(look: Callable[[], T | None], within: float = 150) -> T:
    """What `look` returns once it is something true."""
    deadline = time.monotonic() + within
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return seen


def run_of(ocs: Ocs, job: str) -> dict[str, Any] | None:
    """The job's newest run."""
    return next(iter(ocs.json("runs", "list", "--job", job)["runs"]), None)


def running(ocs: Ocs, job: str) -> dict[str, Any]:
    """The job's run, once it has begun."""

    def begun() -> dict[str, Any] | None:
        runs = ocs.json("runs", "list", "--status", "running")["runs"]
        return next((run for run in runs if run["job"] == job), None)

    return eventually(begun)
