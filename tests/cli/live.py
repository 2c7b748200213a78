"""What tests of a running system ask: facts that become true, runs of a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from tests.cli.command import Ocs

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

T = TypeVar("T")
LONGEST_PAUSE = 0.5
"""Seconds. A look is often a call of `ocs`, and what it looks for needs the processor, too."""


def eventually(look: Callable[[], T | None], within: float = 150) -> T:
    """What `look` returns once it is something true."""
    deadline, pause = time.monotonic() + within, 0.05
    while not (seen := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(pause := min(1.5 * pause, LONGEST_PAUSE))
    return seen


def ask(ocs: Ocs, method: str, path: str, body: Any = None) -> Any:
    """A plain request to the API, as `ocs env` tells anybody to make it."""
    exported = ocs.json("env")["env"]
    user, _, rest = exported["PREFECT_API_AUTH_STRING"].partition(":")
    answer = httpx.request(method, exported["PREFECT_API_URL"] + path, json=body, auth=(user, rest))
    answer.raise_for_status()
    return answer.json() if answer.content else None


@contextmanager
def prefect(ocs: Ocs) -> Iterator[SyncPrefectClient]:
    """Prefect's own client, as `ocs env` tells anybody to set it up."""
    from prefect import settings
    from prefect.client.orchestration import get_client

    exported = ocs.json("env")["env"]
    with (
        settings.temporary_settings({getattr(settings, name): value for name, value in exported.items()}),
        get_client(sync_client=True) as client,
    ):
        yield client


def run_of(ocs: Ocs, job: str) -> dict[str, Any] | None:
    """The job's newest run."""
    return next(iter(ocs.json("runs", "list", "--job", job)["runs"]), None)


def running(ocs: Ocs, job: str) -> dict[str, Any]:
    """The job's run, once it has begun."""

    def begun() -> dict[str, Any] | None:
        runs = ocs.json("runs", "list", "--status", "running")["runs"]
        return next((run for run in runs if run["job"] == job), None)

    return eventually(begun)
