"""Installed, not cloned: the wheel in an environment of its own, in a folder with modules called like ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
ROOT = Path(__file__).parents[2]


def call(*command: str | Path, cwd: Path, **env: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_", "PYTHON"))}
    ended = subprocess.run(
        command, cwd=cwd, env={**kept, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The programs of a fresh environment that has the wheel, and the locked versions of what it needs."""
    pip = ("-m", "pip", "--disable-pip-version-check")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", str(ROOT))
    call(sys.executable, *pip, *build, cwd=tmp_path)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    locked = re.findall(r"^(\S+==\S+)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)
    (tmp_path / "constraints.txt").write_text("\n".join(locked))
    call(sys.executable, "-m", "venv", str(tmp_path / "venv"), cwd=tmp_path)
    programs = tmp_path / "venv" / "bin"
    call(programs / "python", *pip, "install", "--quiet", "-c", "constraints.txt", str(wheel), cwd=tmp_path)
    return programs


def test_a_project_of_the_installed_package_runs(
    installed: Path, tmp_path: Path, with_database: Callable[[Path], Path]
) -> None:
    folder = tmp_path / "elsewhere"
    for name in ("flows", "tasks", "blocks", "deployments", "ocs"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('not ours')\n")
    for name in ("tasks.py", "flows.py"):
        (folder / name).write_text("raise ImportError('not ours')\n")
    env = {"OCS_HOME": str(with_database(tmp_path / "home")), "HOME": str(tmp_path), "DO_NOT_TRACK": "1"}
    ocs = installed / "ocs"
    call(ocs, "init", "demo", cwd=folder, **env)
    for name in ("flows", "tasks"):
        (folder / "demo" / name).mkdir()
        (folder / "demo" / name / "__init__.py").write_text("raise ImportError('not ours')\n")
    (folder / "demo" / "tasks.py").write_text("raise ImportError('not ours')\n")
    try:
        call(ocs, "up", "--detach", "--port", "0", cwd=folder / "demo", **env)
        said = call(ocs, "jobs", "run", "hello", "--wait", cwd=folder / "demo", **env)
    finally:
        call(ocs, "down", "--now", cwd=folder, **env)
    assert "ok  hello" in said
