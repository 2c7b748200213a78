"""The worker as a process of its own: how it is started, how it ends, and how it outlives its server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from ocs.server import embedded_server
from tests.worker.rig import Rig, rig_on

pytestmark = pytest.mark.e2e
PYTHON_M = [sys.executable, "-m", "ocs.worker", "--name", "own", "--limit", "2", "--pool"]
PREFECT = [sys.executable, "-m", "prefect", "worker", "start", "--type", "openclaw", "--name", "own", "--pool"]


@contextmanager
def process(command: Sequence[str], rig: Rig, api_url: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_"))}
    environment |= {"PREFECT_API_URL": api_url, "PREFECT_HOME": str(rig.folder / "prefect")}
    environment |= {"OCS_HOME": str(rig.folder / "ocs"), "DO_NOT_TRACK": "1"}
    with (rig.folder / "worker.log").open("wb") as log:
        started = subprocess.Popen([*command, rig.pool], env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def ended(started: subprocess.Popen[bytes], rig: Rig) -> int:
    await rig.eventually(lambda: started.poll() is not None)
    return started.returncode


@pytest.mark.parametrize("command", [PYTHON_M, PREFECT], ids=["python -m ocs.worker", "prefect worker start"])
async def test_the_first_signal_drains_and_ends_with_status_0(
    rig: Rig, prefect_server: str, command: list[str]
) -> None:
    await rig.make_pool()
    gated, quick = await rig.deploy("until_gate"), await rig.deploy("three_tasks")
    with process(command, rig, prefect_server) as started:
        running = await rig.run(gated, gate=str(rig.gate))
        await rig.eventually(lambda: "started" in rig.notes())
        started.send_signal(signal.SIGTERM)
        await rig.eventually(lambda: "to end" in (rig.folder / "worker.log").read_text())
        not_taken = await rig.run(quick)
        rig.gate.touch()
        assert (await rig.ends(running)).is_completed()
        assert await ended(started, rig) == 0
        assert (await rig.state(not_taken)).is_scheduled()


async def test_the_second_signal_ends_the_runs_too(rig: Rig, prefect_server: str) -> None:
    await rig.make_pool()
    with process(PYTHON_M, rig, prefect_server) as started:
        running = [
            await rig.run(await rig.deploy("cancellable"), to=str(rig.folder / "told")),
            await rig.run(await rig.deploy("until_gate"), gate=str(rig.gate), to=str(rig.folder / "cancelled")),
        ]
        for flow_run in running:
            await rig.reaches(flow_run, lambda state: state.is_running())
        await rig.eventually(lambda: (rig.folder / "told").exists() and (rig.folder / "cancelled").exists())
        started.send_signal(signal.SIGINT)
        await rig.eventually(lambda: "to end" in (rig.folder / "worker.log").read_text())
        started.send_signal(signal.SIGINT)
        assert await ended(started, rig) == 0
        for flow_run in running:
            assert (await rig.state(flow_run)).is_cancelled()
    assert "told to stop" in (rig.folder / "told").read_text()
    assert "cancelled" in (rig.folder / "cancelled").read_text()


def test_importing_the_worker_type_loads_no_flow_and_no_database() -> None:
    """Prefect imports worker types into every process."""
    code = "import sys, ocs.worker; print([name for name in ('flows', 'sqlmodel', 'ocs.store') if name in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"
    )


async def test_a_run_outlives_a_restart_of_the_server_and_the_worker_goes_on(
    tmp_path: Path, with_database: Callable[[Path], Path]
) -> None:
    with embedded_server(with_database(tmp_path / "server")) as (api_url, server):
        async with rig_on(api_url) as rig, rig.worker():
            gated, quick = await rig.deploy("until_gate"), await rig.deploy("three_tasks")
            running = await rig.run(gated, gate=str(rig.gate))
            await rig.eventually(lambda: "started" in rig.notes())
            server.end(timedelta(seconds=10))
            rig.gate.touch()
            await rig.eventually(lambda: "ended" in rig.notes())
            server.start()
            assert (await rig.ends(running)).is_completed()
            assert (await rig.ends(await rig.run(quick))).is_completed()
