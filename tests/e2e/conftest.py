"""One server and one worker for all end-to-end tests; each test has a project and job ids of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr

from blocks.gateway import BLOCK, OpenClawGateway
from tests.e2e.system import RunningSystem, our_worker, running_system, worker_process
from tests.gateway.server import Server, serving
from tests.otlp import Collector, collecting


@pytest.fixture(scope="package")
def worker_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("worker")


@pytest.fixture(scope="package")
def collector() -> Iterator[Collector]:
    """Where the worker sends its traces."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="package")
def worker(prefect_server: str, worker_home: Path, extension: Path, collector: Collector) -> Iterator[None]:
    log, env = worker_home / "worker.log", {"PYTHONPATH": str(extension)}
    env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.address, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with worker_process(our_worker(), api_url=prefect_server, home=worker_home, log=log, env=env):
        yield


@pytest.fixture
async def ocs(prefect_server: str, worker: None, worker_home: Path, tmp_path: Path) -> AsyncIterator[RunningSystem]:
    async with running_system(prefect_server, worker_home, tmp_path / "project") as system:
        yield system


@pytest.fixture
async def server(ocs: RunningSystem) -> AsyncIterator[Server]:
    """A gateway of our own, where the worker finds it."""
    async with serving() as running:
        block = OpenClawGateway(url=running.url, token=SecretStr("token"))
        await cast("Any", block.save(BLOCK, overwrite=True))
        yield running
