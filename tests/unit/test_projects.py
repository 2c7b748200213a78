"""Where projects are on this host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs import projects


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("name", ["backups", "a/b", "..", "ä ö"])
def test_a_project_is_found_where_it_was_last_rolled_out_from(tmp_path: Path, name: str) -> None:
    assert projects.folder_of(name) is None
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        projects.remember(name, tmp_path / folder)
        assert projects.folder_of(name) == tmp_path / folder


def test_a_folder_that_is_gone_is_nobodys(tmp_path: Path) -> None:
    projects.remember("gone", tmp_path / "gone")
    assert projects.folder_of("gone") is None
    assert projects.folder_of(None) is None
