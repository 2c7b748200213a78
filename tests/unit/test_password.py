"""The embedded server's password: where it comes from, who can read it, and to whom it is told."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from ocs.errors import Refused
from ocs.server import Config, UpState, password
from ocs.server.config import AUTH
from ocs.server.environment import server_environment, worker_environment
from ocs.spec import Shell
from tasks.strategies.environment import environment
from tests.another_user import NOBODY, as_nobody, needs_another_user


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(AUTH, raising=False)
    monkeypatch.delenv(password.CLIENT_AUTH, raising=False)
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def config(home: Path) -> Config:
    config = Config(home)
    config.check()
    return config


def chosen(config: Config) -> str:
    found = password.choose(config)
    assert found is not None
    assert found.file == config.home / "password"
    assert found.file.read_text() == found.value
    assert found.file.stat().st_mode & 0o777 == 0o600
    return found.value


def test_it_is_made_once_and_kept(config: Config) -> None:
    umask = os.umask(0)
    try:
        first = chosen(config)
    finally:
        os.umask(umask)
    user, _, secret = first.partition(":")
    assert (user, len(secret) >= 40) == ("ocs", True)
    assert chosen(config) == first
    assert [path.name for path in config.home.iterdir() if "password" in path.name] == ["password"]


def test_one_that_somebody_else_may_have_read_or_put_there_is_made_anew(config: Config, tmp_path: Path) -> None:
    first = chosen(config)
    file = config.home / "password"
    file.chmod(0o644)
    second = chosen(config)
    file.unlink()
    (tmp_path / "elsewhere").write_text(second)
    (tmp_path / "elsewhere").chmod(0o600)
    file.symlink_to(tmp_path / "elsewhere")
    third = chosen(config)
    file.write_text("")
    assert len({first, second, third, chosen(config)}) == 4
    assert (tmp_path / "elsewhere").read_text() == second


@needs_another_user
def test_one_of_another_user_is_not_used(config: Config) -> None:
    first = chosen(config)
    os.chown(config.home / "password", NOBODY, NOBODY)
    assert chosen(config) != first


def test_what_was_set_by_hand_wins(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AUTH, "me:mine")
    assert password.choose(config) == password.Password("me:mine")
    assert not (config.home / "password").exists()
    assert password.of(UpState(1, "", "", 1, "")) == "me:mine"
    assert "mine" not in repr(password.choose(config))


def test_none_at_all_where_none_is_wanted(home: Path) -> None:
    config = Config(home, auth=False)
    config.check()
    assert password.choose(config) is None
    assert password.of(UpState(1, "", "", 1, "")) is None
    for told in (server_environment(config, 1, None), worker_environment(config, 1, None)):
        assert not {AUTH, password.CLIENT_AUTH} & told.keys()


def test_a_file_that_is_gone_is_said(config: Config) -> None:
    up = UpState(1, "", "", 1, "", password_file=str(config.home / "password"))
    with pytest.raises(Refused, match=r"cannot be read from .*: No such file") as gone:
        password.of(up)
    assert "ocs up" in (gone.value.hint or "")


def test_a_folder_that_cannot_be_written_is_said(config: Config) -> None:
    (config.home / "password").mkdir()
    with pytest.raises(Refused, match="cannot be written"):
        password.choose(config)
    assert [path.name for path in config.home.iterdir() if path.name.startswith(".password")] == []


def test_the_home_is_closed_to_others_and_a_folder_that_many_share_is_not(tmp_path: Path) -> None:
    for mode, closed in ((0o777, 0o700), (0o1777, 0o1777)):
        home = tmp_path / f"{mode:o}"
        home.mkdir()
        home.chmod(mode)
        Config(home).check()
        assert home.stat().st_mode & 0o7777 == closed
        assert (home / "logs").stat().st_mode & 0o777 == 0o700


@needs_another_user
def test_another_user_reads_nothing_even_where_the_folder_is_open() -> None:
    with tempfile.TemporaryDirectory() as folder:  # the folder of tests is closed already
        shared = Path(folder)
        shared.chmod(0o1777)
        config = Config(shared)
        config.check()
        (shared / "for-all").write_text("for all")
        chosen(config)

        def tries() -> list[str]:
            said: list[str] = []
            for path in sorted(shared.iterdir()):
                with suppress(PermissionError):
                    said.append(str(list(path.iterdir())) if path.is_dir() else path.read_text())
            return said

        assert as_nobody(tries) == ["for all"]


def test_server_and_worker_are_told_and_no_job(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    value = chosen(config)
    found = password.choose(config)
    assert server_environment(config, 4200, found)[AUTH] == value
    told = worker_environment(config, 4200, found)
    assert told[password.CLIENT_AUTH] == value
    for name, each in told.items():
        monkeypatch.setenv(name, each)
    for inherits in (False, True):
        jobs = environment(Shell(command="env", inherit_env=inherits), {})
        assert value not in str(jobs)
        assert {name for name in jobs if name.startswith(("PREFECT", "OCS"))} <= {"OCS_HOME"}


def test_no_proxy_reads_along(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "example.com")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    told = worker_environment(config, 4200, password.choose(config))
    assert told["no_proxy"] == told["NO_PROXY"] == "example.com,127.0.0.1"
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("NO_PROXY", "example.org")  # the other spelling must not lose it
    assert worker_environment(config, 4200, password.choose(config))["no_proxy"] == "example.org,127.0.0.1"


def test_localhost_is_one_address() -> None:
    """On ::1 somebody else may listen."""
    assert Config(Path("/"), host="localhost").url(4200) == "http://127.0.0.1:4200"
