"""A server that is ending says so, and no run may ask for the end of what runs it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from ocs.cli.ending import sentence, view
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.server import state
from ocs.server.state import UpState
from ocs.spec import Job
from ocs.store.tables import Run
from tests.cli.command import Ocs
from tests.ports import free_port

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_whoever_looks_is_told_that_it_is_ending(ocs: Ocs) -> None:
    port = free_port()
    up = UpState(os.getpid(), f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/api", port, NOW.isoformat())
    ocs.home.mkdir()
    with state.only_one(ocs.home):
        state.write(ocs.home, up)
        assert "ending" not in ocs().out
        state.write(ocs.home, UpState(up.pid, up.url, up.api_url, port, up.started_at, ending_since=NOW.isoformat()))
        assert "ending since 2026-11-24 13:00:00 +0100: nothing new begins" in ocs().out


def test_it_is_said_for_what_it_waits_and_until_when() -> None:
    ending = {"since": NOW.isoformat(), "waits_for": 2, "until": (NOW + timedelta(minutes=5)).isoformat()}
    assert "waits for 2 runs, until " in sentence(ending)
    assert sentence({**ending, "waits_for": 1, "until": None}).endswith("waits for 1 run")


def test_what_goes_on_has_no_end() -> None:
    run = Run(
        job_id="a",
        kind=DispatchKind.MANUAL,
        status=RunStatus.RUNNING,
        flow_run_id=uuid4(),
        scheduled_for=NOW,
        started_at=NOW,
    )
    assert view([run], {"a": Job.model_validate({"id": "a", "run": "true"})}) is None
