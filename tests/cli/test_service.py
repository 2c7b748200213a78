"""`ocs service`: what starts with the machine; what is not there is said, and nothing is written by looking."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ocs.server import state
from tests.cli.command import Ocs
from tests.cli.live import eventually, running
from tests.ports import free_port
from tests.server.test_boot import read

SYSTEMCTL = Path(__file__).with_name("systemctl")


@pytest.fixture
def manager(tmp_path: Path) -> Path:
    """What systemd knows."""
    folder, programs = tmp_path / "systemd", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    shutil.copy(SYSTEMCTL, programs / "systemctl")
    return folder


@pytest.fixture
def installed(ocs: Ocs, manager: Path) -> Ocs:
    """`ocs` where there is a user manager."""
    path = f"{manager.parent / 'bin'}:{os.environ['PATH']}"
    return replace(ocs, env={"PATH": path, "FAKE_SYSTEMD": str(manager)})


def typed(manager: Path) -> list[str]:
    """What was told to systemd; questions are left out."""
    said = (manager / "typed").read_text().splitlines() if (manager / "typed").exists() else []
    return [line for line in said if not line.startswith("show")]


def test_it_shows_what_it_would_write_and_writes_nothing(ocs: Ocs) -> None:
    said = ocs("service", "install", "--print")
    assert said.status == 0
    command, folder, environment = read(said.out)
    assert command[1:] == ["up", "--port", "4200", "--limit", "50"]
    assert (folder, environment["OCS_HOME"]) == (str(ocs.folder), str(ocs.home))
    assert not ocs.home.exists()
    assert not (ocs.home.parent / ".config").exists()
    assert ocs.json("service", "install", "--print")["text"] == said.out


def test_without_a_user_manager_it_is_said_and_nothing_is_written(installed: Ocs, manager: Path) -> None:
    (manager / "away").touch()
    said = installed.json("service", "install", status=1)["error"]
    assert "does not answer: Failed to connect to bus" in said["message"]
    assert "let the container run ocs up" in said["message"]
    assert not (installed.home.parent / ".config").exists()
    assert "Failed to connect" in installed.json("service", "status")["service"]["problem"]
    assert "Failed to connect" in installed.json("service", "restart", status=1)["error"]["message"]


def test_what_is_not_installed_is_neither_restarted_nor_removed(installed: Ocs, manager: Path) -> None:
    assert installed.json("service", "status")["service"]["installed"] is False
    for command in ("restart", "remove"):
        assert installed.json("service", command, status=1)["error"]["code"] == "not_found"
    assert not typed(manager)


def test_a_broken_project_is_not_installed(installed: Ocs, manager: Path) -> None:
    installed.write("broken", "id: broken\nrun: [\n")
    assert installed.json("service", "install", status=1)["error"]["code"] == "invalid_job"
    assert not typed(manager)


def test_what_somebody_has_started_is_not_taken_over(installed: Ocs, manager: Path) -> None:
    port = free_port()
    up = state.UpState(os.getpid(), f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}/api", port, "2026-11-24")
    installed.home.mkdir()
    with state.only_one(installed.home):
        state.write(installed.home, up)
        assert installed.json("service", "install", status=1)["error"]["hint"] == "End it first: ocs down"
    assert not typed(manager)


@pytest.fixture
def served(installed: Ocs, with_database: Callable[[Path], Path]) -> Iterator[Ocs]:
    """The same with a database, and nothing that runs on."""
    with_database(installed.home)
    installed.write("slow", "id: slow\nrun: until [ -e go ]; do sleep 0.1; done\n")
    try:
        yield installed
    finally:
        installed("down", "--now")


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_it_is_installed_restarted_after_its_runs_ended_and_removed(served: Ocs, manager: Path) -> None:
    unit = Path(served.json("service", "install", "--port", "0")["service"]["file"])
    assert unit.stat().st_mode & 0o777 == 0o600
    assert typed(manager) == ["daemon-reload", f"enable {unit.name}", f"restart {unit.name}"]
    first = served.json("service", "status")["service"]
    assert (first["installed"], first["active"]) == (True, "active (running)")
    served.json("jobs", "run", "slow")
    run = running(served, "slow")
    with served.started("service", "restart") as restart:
        eventually(lambda: served.json("status")["ending"])
        (served.folder / "go").touch()  # the run is waited for
        assert restart.wait(300) == 0
    assert served.json("runs", "show", run["id"])["run"]["status"] == "ok"
    assert served.json("service", "status")["service"]["pid"] != first["pid"]
    said = served("down")
    assert "It ran as the service" in said.err
    assert "ocs service restart" in said.err
    served.json("service", "remove")
    assert not unit.exists()
    assert typed(manager)[-2:] == [f"disable --now {unit.name}", "daemon-reload"]


@contextmanager
def started(ocs: Ocs, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """What a service manager does with the unit that is printed, until it is ready; killed in the end."""
    text = ocs.json("service", "install", "--print", "--port", "0")["text"]
    command, folder, said = read(text)
    process = subprocess.Popen(command, cwd=folder, env={"HOME": str(ocs.home.parent), **said, **environment})
    try:
        eventually(lambda: state.read(ocs.home))
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.e2e
@pytest.mark.timeout(900)
def test_the_command_of_the_unit_ends_in_time_and_fails_when_its_server_died(served: Ocs) -> None:
    """What was rolled out before goes on, whatever is wrong with a file since."""
    served.json("up", "--detach", "--port", "0")
    served.json("down")
    broken = served.write("broken", "id: broken\nrun: [\n")
    with started(served, OCS_TIMING_DRAIN="1") as service:
        broken.unlink()
        served.json("jobs", "run", "slow")
        run = running(served, "slow")
        service.send_signal(signal.SIGTERM)
        assert service.wait(120) == 0
    with started(served) as service:
        assert served.json("runs", "show", run["id"])["run"]["status"] != "running"
        up = state.read(served.home)
        assert up is not None
        os.kill(up.pid, signal.SIGKILL)
        assert service.wait(120) == 1
