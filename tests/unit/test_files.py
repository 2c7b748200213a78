"""What is made is for its owner alone, or for others to read and never to write, whatever the umask is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import catalogue
from ocs.files import READABLE, make_folder, open_file
from ocs.rules.masking import Masking
from ocs.server import state
from ocs.server.config import Config
from ocs.server.state import UpState
from ocs.spec import Output
from ocs.store import open_store
from tasks.strategies.capture import Capture


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777) for path in folder.rglob("*")}


def test_everything_in_the_home_is_for_its_owner_alone(umask: int, tmp_path: Path) -> None:
    home = tmp_path / "above" / "home"
    config = Config(home, "127.0.0.1", 0)
    config.check()
    with state.only_one(home):
        state.write(home, UpState(1, "http://a", "http://a/api", 4200, "now"))
        open_store(f"sqlite+aiosqlite:///{home / 'store.db'}")
        said = Capture(
            home / "artifacts" / "runs" / "1" / "stdout.txt",
            Output(offload=128),
            secrets=Masking(()),
            show=lambda _: None,
        )
        said.feed(b"large" * 100)
        said.finish()
        open_file(config.logs / "server.log", "ab").close()
        found = modes(tmp_path)
    assert {"above/home/artifacts/runs/1/stdout.txt", "above/home/up.json", "above/home/up.lock"} <= found.keys()
    assert {path: mode for path, mode in found.items() if mode not in ("0o700", "0o600")} == {}


def test_a_log_that_others_could_read_is_shut(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.touch()
    log.chmod(0o666)
    open_file(log, "ab").close()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_projects_files_are_as_the_umask_says_and_never_for_others_to_write(umask: int, tmp_path: Path) -> None:
    path = tmp_path / "project" / "deployments" / "jobs" / "a.yaml"
    catalogue.replace_file(path, "id: a\n")
    catalogue.replace_file(path, "id: b\n")
    assert path.stat().st_mode & 0o777 == READABLE & ~umask
    assert path.parent.stat().st_mode & 0o777 == 0o755 & ~umask
    assert (tmp_path / "project").stat().st_mode & 0o022 == 0
    assert [each.name for each in path.parent.iterdir()] == ["a.yaml"]
    path.chmod(0o640)
    catalogue.replace_file(path, "id: c\n")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_folder(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "file")
