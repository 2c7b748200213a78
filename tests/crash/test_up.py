"""`ocs up`, supervised: parts of it are killed and come back by themselves, or all of it and it is started again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest

from ocs.rules.dispatch import RunStatus
from ocs.server import Config, UpState, password, running, start, stop
from tests.conftest import Times
from tests.crash.rig import Scene, kill_at_once, marked_processes
from tests.e2e.system import running_system
from tests.ports import free_port

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]


@contextmanager
def at_home(home: Path) -> Iterator[Path]:
    """What is started, and asked for, is of this home; it is ended with the context."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(ROOT)
        patched.setenv("OCS_HOME", str(home))
        patched.delenv("PREFECT_API_URL", raising=False)
        try:
            yield home
        finally:
            stop(now=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, with_database: Callable[[Path], Path]) -> Iterator[Path]:
    """A home in which it runs, and that is killed part by part."""
    with at_home(with_database(tmp_path_factory.mktemp("up") / "home")) as home:
        up(home, port=free_port())
        yield home


def up(home: Path, port: int = 0) -> UpState:
    """Start it with the worker of these tests."""
    worker = (sys.executable, "-m", "tests.crash.worker")
    return start(Config(home, port=port, worker=worker), attached=False)


@asynccontextmanager
async def scene_on(state: UpState, home: Path, folder: Path) -> AsyncIterator[Scene]:
    """With a job whose shell waits, and the child that follows it."""
    async with running_system(state.api_url, home, folder / "project", password=password.of(state)) as system:
        made = Scene(system, folder)
        made.write("load", made.waiting())
        made.write("next", after={"job": "load", "on": "complete"})
        await system.deploy()
        await made.run("load")
        yield made


async def ends_as(scene: Scene, status: RunStatus) -> None:
    seen = await scene.at_rest()
    assert {run.job_id: run.status for run in seen.runs} == {
        scene.system.id("load"): status,
        scene.system.id("next"): RunStatus.OK,
    }


async def test_a_worker_that_stands_still_is_ended_and_started_again_and_recovers(
    tmp_path: Path, with_database: Callable[[Path], Path], times: Times
) -> None:
    """Stopped by a signal it does as little as one whose loop is blocked for good."""
    times(standstill=6)
    with at_home(with_database(tmp_path / "home")) as home:
        state = up(home)
        async with scene_on(state, home, tmp_path) as scene:
            await scene.system.eventually(lambda: is_at_work(scene))
            assert state.worker_pid is not None
            os.kill(state.worker_pid, signal.SIGSTOP)
            await ends_as(scene, RunStatus.CRASHED)
            assert not psutil.pid_exists(state.worker_pid)
            assert "stood still" in (home / "logs" / "worker.log").read_text()


def state_of_it() -> UpState:
    """Of the home at hand, as it is now."""
    state = running()
    assert state is not None
    return state


async def test_a_killed_worker_is_started_again_and_recovers(shared: Path, tmp_path: Path) -> None:
    state = state_of_it()
    async with scene_on(state, shared, tmp_path) as scene:
        await scene.system.eventually(lambda: is_at_work(scene))
        assert state.worker_pid is not None
        os.kill(state.worker_pid, signal.SIGKILL)
        await ends_as(scene, RunStatus.CRASHED)


async def test_a_killed_server_costs_a_run_nothing(shared: Path, tmp_path: Path) -> None:
    state = state_of_it()
    async with scene_on(state, shared, tmp_path) as scene:
        await scene.system.eventually(lambda: is_at_work(scene))
        assert state.server_pid is not None
        os.kill(state.server_pid, signal.SIGKILL)
        scene.gate.touch()
        await ends_as(scene, RunStatus.OK)


async def test_everything_is_killed_at_once_and_started_again(shared: Path, tmp_path: Path) -> None:
    """As near to a power cut as a test comes: nobody is left to end anything, the reaper neither."""
    state = state_of_it()
    async with scene_on(state, shared, tmp_path) as scene:
        await scene.system.eventually(lambda: is_at_work(scene))
        family = [psutil.Process(state.pid), *psutil.Process(state.pid).children(recursive=True)]
        shell = marked_processes(scene.mark)
        doomed = [process for process in family if process.pid not in shell]
        kill_at_once([process.pid for process in doomed])
        await scene.system.eventually(lambda: are_gone(doomed))
        assert running() is None
        assert marked_processes(scene.mark)
        again = up(shared, port=state.port)
        assert again.api_url == state.api_url
        await ends_as(scene, RunStatus.CRASHED)


async def are_gone(processes: list[psutil.Process]) -> bool:
    """Those of whom nothing is left but their number let go of their ports, too."""
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)


async def is_at_work(scene: Scene) -> bool:
    return any(run.pid for run in await scene.system.runs_of("load"))
