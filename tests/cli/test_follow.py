"""How the end of a run that was followed is told."""

from __future__ import annotations

from uuid import uuid4

import pytest

from ocs.cli.follow import show_end
from ocs.cli.render import output
from ocs.rules.dispatch import RunStatus
from ocs.store.tables import Run


@pytest.mark.parametrize(
    ("exit_code", "duration", "told"),
    [(0, 3.21, "ok  brief  3.2 s  exit code 0\n"), (None, 3.21, "ok  brief  3.2 s\n"), (None, None, "ok  brief\n")],
)
def test_a_run_without_an_exit_code_or_a_duration_is_told_without(
    exit_code: int | None, duration: float | None, told: str
) -> None:
    run = Run(id=uuid4(), job_id="brief", exit_code=exit_code, status=RunStatus.OK)
    with output.out.capture() as said:
        show_end(run, {"status": "ok", "duration_s": duration, "notes": []}, None)
    assert said.get() == told
