"""`ocs backup` when it is killed, and backups that could be restored by half only."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ocs.server.config import restoring
from tests.cli.command import Ocs

CREATE = """
import pathlib, sys, time
from ocs.service import backups
def wait(*_):
    print("in the middle", flush=True)
    time.sleep(600)
backups.create(pathlib.Path(sys.argv[1]), None, wait)
"""
RESTORE = """
import os, pathlib, signal, sys
from ocs.rules.attribution import Attribution
from ocs.service import backups, session
def end(event, given):
    if event == "os.rename" and str(given[1]).endswith("second.yaml") and "deployments" in str(given[1]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(end)
by = Attribution("ann", "cli", session.now())
backups.restore(pathlib.Path(sys.argv[1]), lost_at=None, replace=True, by=by, on_progress=lambda *_: None)
"""
NAMES = {
    "first": "id: first\nrun: echo 1\n",
    "second": "id: second\nrun: echo 2\n",
    "third": "id: third\nrun: echo 3\n",
}


@pytest.fixture
def kept(ocs: Ocs) -> Path:
    """A backup of a project with three jobs, and of a store."""
    for name, text in NAMES.items():
        ocs.write(name, text)
    ocs("runs", "list")
    return Path(ocs.json("backup", "create")["backup"]["file"])


@contextmanager
def started(ocs: Ocs, script: str, argument: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is gone in the end, also where a test fails."""
    command = [sys.executable, "-c", script, str(argument)]
    with subprocess.Popen(command, cwd=ocs.folder, env=ocs.environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def jobs_of(ocs: Ocs) -> Path:
    return ocs.folder / "deployments" / "jobs"


def lying(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.glob(".ocs-*")]


def test_a_restore_that_was_killed_is_repeated_and_loses_nothing(ocs: Ocs, kept: Path) -> None:
    ocs.write("first", "id: first\nrun: echo changed\n")
    with started(ocs, RESTORE, kept) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert restoring(ocs.home).exists()
    assert lying(ocs.home, ocs.folder)
    assert not (ocs.folder / "prefect.yaml").exists() or not (jobs_of(ocs) / "third.yaml").exists()
    refused = ocs.json("backup", "create", status=1)
    assert "was cut off" in refused["error"]["message"]
    ocs.json("backup", "restore", kept.name, "--replace")
    assert {path.stem: path.read_text() for path in jobs_of(ocs).glob("*.yaml") if path.stem in NAMES} == NAMES
    assert not restoring(ocs.home).exists()
    assert not lying(ocs.home, ocs.folder)
    asides = ocs.home.glob("before-restore-*/deployments/jobs/first.yaml")
    assert any("changed" in path.read_text() for path in asides)
    ocs("backup", "create")


def test_a_backup_that_was_ended_leaves_nothing_and_of_one_that_was_killed_the_next_removes_it(
    ocs: Ocs, kept: Path
) -> None:
    within = kept.parent
    with started(ocs, CREATE, within) as alive, started(ocs, CREATE, within) as killed:
        for process in (alive, killed):
            assert process.stdout is not None
            assert process.stdout.readline() == "in the middle\n"
        assert len(lying(within)) == 2
        killed.kill()
        killed.wait(60)
        ocs("backup", "create")
        assert len(lying(within)) == 1  # the other one still works in its own
        alive.terminate()
        assert alive.wait(60) == 128 + signal.SIGTERM
    assert not lying(within)
    assert len(list(within.iterdir())) == 2


def test_the_longest_name_that_a_disk_takes_comes_back(ocs: Ocs, kept: Path) -> None:
    note = ocs.folder / "deployments" / "notes" / ("n" * 255)
    note.parent.mkdir()
    note.write_text("dear")
    (note.parent / "back\\slash").write_text("no backup can hold it")
    made = ocs.json("backup", "create")["backup"]
    assert any("slash" in said for said in made["left_out"])
    note.unlink()
    ocs.json("backup", "restore", made["file"], "--replace")
    assert note.read_text() == "dear"


def forged(kept: Path, change: Callable[[dict[str, Any]], Any], members: dict[str, bytes]) -> Path:
    """A backup with more in it, and with right checksums."""
    with zipfile.ZipFile(kept) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    manifest = json.loads(contents.pop("manifest.json"))
    for name, data in members.items():
        manifest["members"].append({"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    change(manifest)
    path = kept.with_name("forged.backup.zip")
    with zipfile.ZipFile(path, "w") as made:
        for name, data in {**contents, **members, "manifest.json": json.dumps(manifest).encode()}.items():
            made.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("changed", "members"),
    [
        ({}, {"project/deployments/jobs": b"a file"}),
        ({}, {f"project/deployments/{'n' * 300}": b"a file"}),
        ({}, {f"project/deployments/{'ö' * 128}": b"a file"}),
        ({}, {f"places/{'n' * 300}.folder": b"a note"}),
        ({"prefect": "not a version"}, {}),
        ({"prefect": "9" * 5000}, {}),
        ({"made_at": "0001-01-01T00:00:00+00:00"}, {}),
        ({"made_at": "9999-12-31T23:59:59-23:00"}, {}),
        ({"made_at": "2200-01-01T00:00:00Z"}, {}),
    ],
    ids=[
        "a file that is a folder",
        "long",
        "long in bytes",
        "a long note",
        "version",
        "digits",
        "past",
        "end",
        "future",
    ],
)
@pytest.mark.parametrize("command", [["verify"], ["restore", "--replace"]], ids=["verify", "restore"])
def test_what_could_be_restored_by_half_only_is_refused_before(
    ocs: Ocs, kept: Path, changed: dict[str, str], members: dict[str, bytes], command: list[str]
) -> None:
    path = forged(kept, lambda manifest: manifest.update(changed), members)
    refused = ocs.json("backup", *command, str(path), status=1)
    assert "bug" not in refused["error"]["message"]
    assert str(path) in refused["error"]["message"]
    assert not restoring(ocs.home).exists()
    assert not list(ocs.home.glob("before-restore-*"))
