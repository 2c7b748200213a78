"""Installed, not cloned: the wheel made of the sdist, in an environment of its own, among modules called like ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

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
    """The programs of a fresh environment that has the wheel, and what it says it needs."""
    pip = ("-m", "pip", "--disable-pip-version-check")
    call(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path), cwd=ROOT)
    (sources,) = tmp_path.glob("*.tar.gz")
    build = ("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels", str(sources))
    call(sys.executable, *pip, *build, cwd=tmp_path)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    call(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"), cwd=tmp_path)
    programs = tmp_path / "venv" / "bin"
    into = ("--python", str(programs / "python"), "install", "--quiet", "--no-deps", "--no-index")
    call(sys.executable, *pip, *into, str(wheel), cwd=tmp_path)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    with ZipFile(wheel) as opened:
        (metadata,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        needs = Parser().parsestr(opened.read(metadata).decode()).get_all("Requires-Dist") or []
    for package in needed(needs):
        link(package, packages)
    return programs


def needed(requirements: Iterable[str]) -> list[Distribution]:
    """The packages of this environment that these need, and what those need in turn."""
    found: dict[tuple[str, str], Distribution] = {}
    open_ends = [(Requirement(each), "") for each in requirements]
    while open_ends:
        requirement, extra = open_ends.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        package = distribution(requirement.name)
        for wanted in ("", *requirement.extras):
            if (package.name, wanted) not in found:
                found[package.name, wanted] = package
                open_ends += [(Requirement(each), wanted) for each in package.requires or ()]
    return [*{package.name: package for package in found.values()}.values()]


def link(package: Distribution, packages: Path) -> None:
    """Put an installed package there too: much quicker than to install it once more. Its programs are not needed."""
    for file in package.files or ():
        if ".." not in file.parts:
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.symlink_to(Path(str(file.locate())).resolve())


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
    program = "import ocs; print({run.job for run in ocs.runs()})"
    assert call(installed / "python", "-P", "-c", program, cwd=folder, **env).strip() == "{'hello'}"
    assert (installed.parent / "share" / "man" / "man1" / "ocs.1").is_file()
    (typed,) = (installed.parent / "lib").glob("python*/site-packages/ocs/py.typed")
    assert typed.is_file()
