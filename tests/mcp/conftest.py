"""A project and a store of the test's own, for a door that is opened in the test's process."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without jobs, in which no server runs."""
    folder = tmp_path / "project"
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text("name: project\n")
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OCS_PROJECT", str(folder))
    for name in ("OCS_STORE_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    return folder


def write(project: Path, job_id: str, text: str) -> None:
    """A job's file as somebody typed it."""
    (project / "deployments" / "jobs" / f"{job_id}.yaml").write_text(text)
