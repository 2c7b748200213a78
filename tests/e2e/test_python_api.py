"""The recipe of docs/python-api.md: its jobs and its program, as they are written, against a real server and worker."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from ocs.store import messages
from ocs.store.approvals import approvals
from tests.e2e.system import RunningSystem

pytestmark = pytest.mark.e2e
GUIDE = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text(encoding="utf-8")
JOBS = re.findall(r"```yaml\n(id: (\S+)\n.*?)```", GUIDE, flags=re.DOTALL)
(RECIPE,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)


async def test_the_recipe_runs_as_it_is_written(ocs: RunningSystem, worker_home: Path, tmp_path: Path) -> None:
    for text, job_id in JOBS:
        (ocs.project / "deployments" / "jobs" / f"{job_id}.yaml").write_text(text)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_"))}
    ours = {
        "OCS_HOME": str(worker_home),
        "PREFECT_API_URL": str(ocs.client.api_url),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "DO_NOT_TRACK": "1",
    }
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RECIPE,
        cwd=ocs.project,
        env={**kept, **ours},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await program.communicate()
    assert program.returncode == 0, complained.decode()
    assert said.decode().splitlines() == [
        "valid: build, release",
        "build said: built 1.4",
        'waits for approval: echo "released"',
        "release ended as ok",
    ]
    (decided,) = await approvals(ocs.store, job="release")
    assert (decided.decided_by, decided.decided_from, decided.reason) == ("ann", "python", "the build is good")
    (sent,) = [message for message in await messages.outbox(ocs.store, _login(), limit=9) if message.subject]
    assert (sent.recipient, sent.body) == ("main", "Version 1.4 is out.")


def _login() -> str:
    from ocs.service import session

    return session.user()
