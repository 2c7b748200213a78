"""A server and a nursery of workers for all crash tests of a process: other tests' workers never see their runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from ocs.server import embedded_server
from ocs.server.child import Child
from tests.crash.nursery import TICKS, Nursery, nursery
from tests.crash.rig import Rig, Scene
from tests.databases import postgres_database
from tests.e2e.system import running_system


@pytest.fixture(scope="package")
def crash_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crash")


@pytest.fixture(scope="package")
def crash_server(crash_home: Path, with_database: Callable[[Path], Path]) -> Iterator[tuple[str, Child]]:
    """The address of its API, and its process."""
    with embedded_server(with_database(crash_home / "server")) as running:
        yield running


@pytest.fixture(scope="package")
def crash_nursery(crash_server: tuple[str, Child], crash_home: Path) -> Iterator[Nursery]:
    with nursery(api_url=crash_server[0], home=crash_home, log=crash_home / "workers.log", env=TICKS) as made:
        yield made


@pytest.fixture
async def rig(
    crash_server: tuple[str, Child], crash_nursery: Nursery, crash_home: Path, tmp_path: Path
) -> AsyncIterator[Rig]:
    """A project and traces of the test's own; its workers are killed in the end."""
    api_url, server = crash_server
    async with running_system(api_url, crash_home, tmp_path / "project") as system:
        made = Rig(Scene(system, tmp_path), api_url, server, crash_nursery)
        try:
            yield made
        finally:
            made.kill_workers()


@pytest.fixture
async def own_database() -> AsyncIterator[str]:
    """An empty database on Postgres."""
    async with postgres_database() as url:
        yield url


@pytest.fixture
async def postgres_rig(crash_server: tuple[str, Child], own_database: str, tmp_path: Path) -> AsyncIterator[Rig]:
    """The same with workers that share a store on Postgres."""
    home = tmp_path / "home"
    home.mkdir()
    env = {"OCS_STORE_URL": own_database, **TICKS}
    with nursery(api_url=crash_server[0], home=home, log=tmp_path / "workers.log", env=env) as workers:
        async with running_system(crash_server[0], home, tmp_path / "project", store_url=own_database) as system:
            made = Rig(Scene(system, tmp_path), *crash_server, workers)
            try:
                yield made
            finally:
                made.kill_workers()
