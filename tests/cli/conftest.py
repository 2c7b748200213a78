"""A project of the test's own and the command that works in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.command import Ocs
from tests.cli.forked import Mother
from tests.ports import free_port


@pytest.fixture
def outside(tmp_path: Path, bare: Mother) -> Ocs:
    """`ocs` in a folder that is no project."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return Ocs(folder, tmp_path / "home", mother=bare)


@pytest.fixture
def ocs(tmp_path: Path, bare: Mother) -> Ocs:
    """`ocs` in a project without jobs."""
    folder = tmp_path / "project"
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text("name: project\n")
    return Ocs(folder, tmp_path / "home", mother=bare)


@pytest.fixture(scope="package")
def up(tmp_path_factory: pytest.TempPathFactory, with_database: Callable[[Path], Path], bare: Mother) -> Iterator[Ocs]:
    """A project with a server and a worker of its own, which all live tests share."""
    root = tmp_path_factory.mktemp("live")
    (root / "project" / "deployments" / "jobs").mkdir(parents=True)
    (root / "project" / "prefect.yaml").write_text("name: live\n")
    metrics = f"127.0.0.1:{free_port()}"
    ocs = Ocs(root / "project", with_database(root / "home"), {"METRICS": metrics}, mother=bare)
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    try:
        answer = ocs.json("up", "--detach", "--port", "0", "--metrics", metrics)
        assert answer["rolled_out"] == ["hello"]
        yield ocs
    finally:
        assert ocs("down", "--now").status == 0
