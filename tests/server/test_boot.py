"""What service managers are told: read as they read it, whatever paths are called, and nothing that is secret shown."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ocs.errors import Refused
from ocs.server.boot import launchd, manager, of_this_home, systemd
from ocs.server.boot.service import MASKED, Service, name_of
from ocs.timing import timing

WEIRD = """my "jobs" & 100% \\ $HOME 'ä'"""
TEXTS = some.text(some.characters(exclude_categories=["C"]), min_size=1).filter(
    lambda text: text[-1] not in "\\ \u3000"
)
PROGRAMS = TEXTS.filter(lambda text: not {*"\"'\\"} & {*text})
PLAIN = Service("ocs-a", Path("/home/ann/ocs"), Path("/home/ann/jobs"), ("/usr/bin/ocs", "up"), {"OCS_HOME": "/h"})
GIVEN_TO_A_USER = timedelta(minutes=2)
"""In user@.service, as systemd is shipped."""


def words(line: str) -> list[str]:
    """A line of a unit taken apart as systemd.syntax(7) says: double quotes, and backslashes in them."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    unescaped = [re.sub(r"\\(.)", r"\1", quoted) if quoted else plain for quoted, plain in found]
    return [word.replace("%%", "%") for word in unescaped]


def lines_of(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


def read(text: str) -> tuple[list[str], str, dict[str, str]]:
    """Command, folder and environment of a unit."""
    command, *arguments = words(lines_of(text, "ExecStart")[0])
    (folder,) = lines_of(text, "WorkingDirectory")
    environment = dict(words(line)[0].partition("=")[::2] for line in lines_of(text, "Environment"))
    return [command, *(each.replace("$$", "$") for each in arguments)], folder.replace("%%", "%"), environment


@given(program=PROGRAMS, argument=TEXTS, folder=TEXTS, value=TEXTS)
def test_whatever_paths_are_called_systemd_reads_them(program: str, argument: str, folder: str, value: str) -> None:
    service = Service("ocs-a", Path("/h"), Path(f"/{folder}"), (f"/{program}", "up", argument), {"A": value})
    command, read_folder, environment = read(systemd.unit(service))
    assert command == [f"/{program}", "up", argument]
    assert read_folder == str(service.folder)
    assert environment == {"A": value}


@given(argument=TEXTS, value=TEXTS)
def test_whatever_paths_are_called_launchd_reads_them(argument: str, value: str) -> None:
    service = Service("ocs-a", Path("/h"), Path("/f"), ("/usr/bin/ocs", argument), {"A": value})
    found = plistlib.loads(launchd.agent(service).encode())
    assert found["ProgramArguments"] == ["/usr/bin/ocs", argument]
    assert found["EnvironmentVariables"] == {"A": value}
    assert found["KeepAlive"] == {"SuccessfulExit": False}


def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program and the folder are looked for where the unit says."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed, so its own opinion was not asked")
    folder = tmp_path / WEIRD
    folder.mkdir()
    program = tmp_path / "a venv & 100% $HOME ä" / "ocs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    service = Service("ocs-a", folder, folder, (str(program), "up", WEIRD), {"OCS_HOME": str(folder)})
    unit = tmp_path / "ocs-a.service"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for text, status in ((systemd.unit(service), 0), (systemd.unit(service).replace("/ocs", "/cos"), 1)):
        unit.write_text(text)
        command = ["systemd-analyze", "verify", "--user", "--man=no", "--recursive-errors=no", str(unit)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
        about_it = [line for line in said.stderr.splitlines() if unit.name in line]
        assert bool(about_it) is bool(status), said.stderr


def test_it_is_ended_in_order_before_the_manager_loses_its_patience() -> None:
    (within,) = lines_of(systemd.unit(PLAIN), "TimeoutStopSec")
    times = timing()
    assert timedelta(seconds=int(within)) > times.drain + times.worker_end + times.server_end
    assert timedelta(seconds=int(within)) < GIVEN_TO_A_USER
    assert plistlib.loads(launchd.agent(PLAIN).encode())["ExitTimeOut"] == int(within)
    assert lines_of(systemd.unit(PLAIN), "Restart") == ["on-failure"]
    assert lines_of(systemd.unit(PLAIN), "KillMode") == ["mixed"]


def test_each_home_has_a_service_of_its_own_with_a_plain_name(tmp_path: Path) -> None:
    homes = [tmp_path / "My Jobs", tmp_path / "my-jobs", tmp_path / "ä/ö", tmp_path / ("long" * 40)]
    names = [name_of(home) for home in homes]
    assert len({*names}) == len(names)
    assert all(re.fullmatch(r"ocs(-[a-z0-9-]{1,30})?-[0-9a-f]{6}", name) for name in names)


def test_what_a_shell_has_set_is_carried_over_and_passwords_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OCS_STORE_URL", "postgresql+asyncpg://ann:geheim@db/ocs")
    monkeypatch.setenv("OCS_TIMING_DRAIN", "20")
    monkeypatch.setenv("PATH", "relative/bin::/usr/bin:.:/bin")
    monkeypatch.setenv("PREFECT_SERVER_ENCRYPTION_KEY", "geheim")
    monkeypatch.setenv("OCS_RUN_ID", "of a job")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    service = of_this_home(port=4300, metrics="127.0.0.1:9464")
    assert {"OCS_STORE_URL", "PREFECT_SERVER_ENCRYPTION_KEY", "PATH", "OCS_SERVICE"} <= service.environment.keys()
    assert service.environment["PATH"] == "/usr/bin:/bin"
    assert not {"OCS_RUN_ID", "AWS_SECRET_ACCESS_KEY"} & service.environment.keys()
    assert "geheim" in systemd.unit(service)
    assert "geheim" not in systemd.unit(service.shown())
    assert service.shown().environment["OCS_STORE_URL"] == MASKED
    assert service.shown().environment["OCS_TIMING_DRAIN"] == "20"
    assert service.command[1:] == ("up", "--port", "4300", "--limit", "50", "--metrics", "127.0.0.1:9464")


def test_a_manager_that_says_nothing_is_told_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(manager, "ANSWERS", 0.2)
    assert "systemctl has said nothing" in str(manager.Systemd().standing(PLAIN).manager)


@pytest.mark.parametrize("name", ["two\nlines", "ends with a backslash\\", "ends with a space "])
def test_what_no_unit_can_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OCS_HOME", str(folder))
    with pytest.raises(Refused, match="cannot stand in"):
        of_this_home()
    assert not [*folder.iterdir()]
