"""Asking a repository for a commit: it answers, and runs nothing that its configuration names."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ocs.service.commits import is_commit

MISSING = "abcdef1234567890abcdef1234567890abcdef12"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    git(tmp_path, "init", "-q", str(folder))
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    return folder


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


async def test_a_commit_is_there_or_not(repository: Path, tmp_path: Path) -> None:
    assert await is_commit(git(repository, "rev-parse", "HEAD"), repository)
    assert not await is_commit(MISSING, repository)
    assert not await is_commit(MISSING, tmp_path / "nowhere")


async def test_a_repository_with_its_history_elsewhere_is_not_fetched_from_there(
    repository: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    for name, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": "somebody@elsewhere:repository",
        "core.sshCommand": f"touch {ran}; false",
        "protocol.ssh.allow": "always",
    }.items():
        git(repository, "config", name, value)
    assert not await is_commit(MISSING, repository)
    assert not ran.exists()
