"""The embedded server: solid on SQLite, supervised, ended in order, one per home."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prefect.client.orchestration import get_client
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.settings import PREFECT_API_URL, temporary_settings

from ocs.errors import Refused
from ocs.server import Config, UpState, answers, running, start, stop

pytestmark = pytest.mark.e2e


def until(fact: Callable[[], bool], within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not fact():
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.05)  # between two looks at a fact


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return tmp_path / "home"


@pytest.fixture
def prepared(home: Path, with_database: Callable[[Path], Path]) -> Path:
    """The same home, with a database."""
    return with_database(home)


@pytest.fixture
def up(prepared: Path) -> Iterator[UpState]:
    state = start(Config(prepared, port=0), attached=False)
    yield state
    stop(now=True)


def test_prefect_still_has_what_we_change() -> None:
    """The private name; see ocs/server/immediate.py."""
    assert callable(AioSqliteConfiguration.begin_transaction)


async def test_many_clients_at_once_and_none_is_told_that_the_database_is_locked(prefect_server: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        async with get_client(httpx_settings={"timeout": 60}) as client:
            flow = await client.create_flow_from_name("burst")

            async def one() -> int:
                body = {"flow_id": str(flow), "state": {"type": "SCHEDULED"}}
                async with httpx.AsyncClient(base_url=prefect_server, timeout=60) as http:
                    return (await http.post("/flow_runs/", json=body)).status_code

            statuses = await asyncio.gather(*(one() for _ in range(40)))
    assert set(statuses) == {201}


def test_the_ui_is_served_and_the_data_is_private(prefect_server: str, fresh_home: Path) -> None:
    page = httpx.get(prefect_server.removesuffix("/api"), follow_redirects=True)
    assert page.is_success
    assert "<html" in page.text
    assert answers(prefect_server)
    for path in (fresh_home, fresh_home / "prefect", fresh_home / "prefect" / "prefect.db"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_second_one_on_the_same_home_is_refused(up: UpState, home: Path) -> None:
    with pytest.raises(Refused, match="already running at"):
        start(Config(home, port=0), attached=False)


def test_a_killed_server_and_worker_come_back_on_the_same_port(up: UpState) -> None:
    for victim in (up.server_pid, up.worker_pid):
        assert victim is not None
        os.kill(victim, signal.SIGKILL)

    def both_are_back() -> bool:
        now = running()
        return now is not None and now.server_pid != up.server_pid and now.worker_pid != up.worker_pid

    until(both_are_back)
    until(lambda: answers(up.api_url))


def test_down_ends_everything_and_leaves_no_trace(prepared: Path) -> None:
    state = start(Config(prepared, port=0), attached=False)
    family = [psutil.Process(pid) for pid in (state.pid, state.server_pid, state.worker_pid) if pid]
    assert stop(now=False) == state
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert running() is None
    assert stop(now=False) is None


def test_nothing_outlives_a_killed_supervisor(prepared: Path) -> None:
    state = start(Config(prepared, port=0), attached=False)
    children = [psutil.Process(pid) for pid in (state.server_pid, state.worker_pid) if pid]
    os.kill(state.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert running() is None


def test_an_attached_one_ends_with_whoever_started_it(prepared: Path) -> None:
    script = (
        "from ocs.server import *; from ocs import settings; s = start(Config(settings.home(), port=0), attached=True)"
    )
    starter = f"{script}; print(s.pid, flush=True)"
    done = subprocess.run([sys.executable, "-c", starter], capture_output=True, text=True, check=True)
    until(lambda: not psutil.pid_exists(int(done.stdout)) or psutil.Process(int(done.stdout)).status() == "zombie")
    assert running() is None


def test_a_busy_port_is_told_with_its_holder(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Refused, match=f"Port {port} is taken by .*process {os.getpid()}"):
            start(Config(home, port=port), attached=False)
    assert running() is None


def test_another_address_needs_a_password(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_SERVER_API_AUTH_STRING", raising=False)
    with pytest.raises(Refused, match=r"Whoever reaches 0\.0\.0\.0"):
        start(Config(home, host="0.0.0.0", port=0), attached=False)
    assert not home.exists()


def test_a_home_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be used for data"):
        start(Config(tmp_path / "file" / "home", port=0), attached=False)
