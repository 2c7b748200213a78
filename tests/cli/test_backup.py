"""`ocs backup`: one file with everything, and back; what is no whole backup of this project changes nothing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ocs.server import state
from ocs.server.config import restoring
from tests.cli.command import Ocs

HELLO = "id: hello\nrun: echo hello\n"
Members = dict[str, bytes]


@pytest.fixture
def kept(ocs: Ocs) -> Path:
    """A backup of a project with a job, and of a store."""
    ocs.write("hello", HELLO)
    ocs("runs", "list")
    return Path(ocs.json("backup", "create")["backup"]["file"])


def tree(ocs: Ocs) -> dict[str, bytes]:
    """All that a restore could change; the lock and the cache of a home are none of it."""
    files = (path for root in (ocs.home, ocs.folder) for path in root.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if path.name != "up.lock" and path.parent.name != "cache"}


def test_what_was_deleted_comes_back(ocs: Ocs, kept: Path, tmp_path: Path) -> None:
    elsewhere = kept.rename(tmp_path / kept.name)
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o600
    (ocs.folder / "deployments" / "jobs" / "hello.yaml").unlink()
    (ocs.home / "store.db").unlink()
    restored = ocs.json("backup", "restore", str(elsewhere), "--replace")["restored"]
    assert restored["folder"] == str(ocs.folder)
    assert (ocs.folder / "deployments" / "jobs" / "hello.yaml").read_text() == HELLO
    (event,) = [each for each in ocs.json("audit", "list")["audit"] if each["action"] == "restored"]
    assert event["after"]["lost_at"].startswith(restored["lost_at"][:19])
    assert stat.S_IMODE((ocs.home / "store.db").stat().st_mode) == 0o600


def test_a_backup_says_what_is_in_it_and_what_is_not(ocs: Ocs, kept: Path) -> None:
    (listed,) = ocs.json("backup", "list")["backups"]
    assert listed["file"] == str(kept)
    assert (listed["project"], listed["store"], listed["server"]) == ("project", "sqlite", None)
    assert "logs" in listed["left_out"]
    said = ocs("backup", "verify")
    assert "is whole" in said.out
    assert "Not inside: large outputs" in said.out


def test_nothing_is_overwritten_without_a_word_and_what_was_there_is_kept(ocs: Ocs, kept: Path) -> None:
    ocs.write("hello", "id: hello\nrun: echo changed\n")
    before = tree(ocs)
    refused = ocs.json("backup", "restore", kept.name, status=1)
    assert {problem["file"] for problem in refused["errors"]} == {
        str(ocs.home / "store.db"),
        str(ocs.folder / "prefect.yaml"),
        str(ocs.folder / "deployments"),
    }
    assert tree(ocs) == before
    aside = Path(ocs.json("backup", "restore", kept.name, "--replace")["restored"]["aside"])
    assert "changed" in (aside / "deployments" / "jobs" / "hello.yaml").read_text()
    assert (aside / "store.db").exists()
    assert "changed" not in (ocs.folder / "deployments" / "jobs" / "hello.yaml").read_text()


def test_an_empty_folder_becomes_the_project_and_any_other_is_left_alone(ocs: Ocs, kept: Path, tmp_path: Path) -> None:
    for name in ("empty", "full"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    empty = Ocs(tmp_path / "empty", tmp_path / "another-home", mother=ocs.mother)
    full = Ocs(tmp_path / "full", tmp_path / "third-home", mother=ocs.mother)
    assert "not empty" in full.json("backup", "restore", str(kept), status=1)["error"]["message"]
    empty.json("backup", "restore", str(kept))
    assert (tmp_path / "empty" / "deployments" / "jobs" / "hello.yaml").read_text() == HELLO


def test_the_backup_of_another_project_is_refused(ocs: Ocs, kept: Path) -> None:
    (ocs.folder / "prefect.yaml").write_text("name: another\n")
    before = tree(ocs)
    said = ocs.json("backup", "restore", kept.name, "--replace", status=1)["error"]["message"]
    assert said == f"The backup is of the project project, and {ocs.folder} is another."
    assert tree(ocs) == before


def test_nothing_is_restored_while_something_runs(ocs: Ocs, kept: Path) -> None:
    with state.only_one(ocs.home):
        said = ocs.json("backup", "restore", kept.name, "--replace", status=1)["error"]
    assert said["message"].startswith("An embedded server is already running")
    assert said["hint"].endswith("End it with: ocs down")


def test_nothing_is_restored_under_a_worker_of_its_own(ocs: Ocs, kept: Path) -> None:
    with closing(sqlite3.connect(ocs.home / "store.db")) as worker:
        worker.execute("SELECT count(*) FROM run")
        said = ocs.json("backup", "restore", kept.name, "--replace", status=1)["error"]["message"]
    assert "works with what would be replaced" in said


def test_half_of_a_restore_is_never_started(ocs: Ocs, kept: Path) -> None:
    restoring(ocs.home).touch()
    assert "half of a backup" in ocs.json("up", "--detach", "--port", "0", status=1)["error"]["message"]
    ocs.json("backup", "restore", kept.name, "--replace")
    assert not restoring(ocs.home).exists()


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def rewritten(path: Path, change: Callable[[Members, dict[str, Any]], None]) -> None:
    """The backup with other members and another manifest, as somebody would forge it."""
    members = members_of(path)
    manifest = json.loads(members.pop("manifest.json"))
    change(members, manifest)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
        opened.writestr("manifest.json", json.dumps(manifest))


def with_member(name: str, content: bytes = b"evil", size: int | None = None) -> Callable[[Members, Any], None]:
    def change(members: Members, manifest: dict[str, Any]) -> None:
        members[name] = content
        digest = hashlib.sha256(content).hexdigest()
        said = {"name": name, "size": len(content) if size is None else size, "sha256": digest}
        manifest["members"] = [each for each in manifest["members"] if each["name"] != name] + [said]

    return change


def with_format(number: int) -> Callable[[Members, Any], None]:
    return lambda _members, manifest: manifest.update(format=number)


def other_bytes(members: Members, _manifest: dict[str, Any]) -> None:
    name = "project/deployments/jobs/hello.yaml"
    members[name] = members[name].replace(b"echo hello", b"rm -rf ~/*")


def without_store(members: Members, _manifest: dict[str, Any]) -> None:
    del members["store"]


def of_a_newer_prefect(_members: Members, manifest: dict[str, Any]) -> None:
    manifest["prefect"] = "99.1"


FORGED: list[tuple[Callable[[Members, Any], None], str]] = [
    (with_format(2), "a backup of format 2, and this ocs reads format 1"),
    (with_format(0), "a backup of format 0, and this ocs reads format 1"),
    (other_bytes, "project/deployments/jobs/hello.yaml has another checksum than when it was written"),
    (without_store, "does not hold what its manifest names"),
    (lambda members, _: members.update(surprise=b"!"), "does not hold what its manifest names"),
    (with_member("project/../../evil"), "no backup of ocs"),
    (with_member("project//etc/passwd"), "no backup of ocs"),
    (with_member("project/deployments/../../evil"), "no backup of ocs"),
    (with_member("project/deployments/a\\..\\evil"), "no backup of ocs"),
    (with_member("project/.git/hooks/post-checkout"), "no backup of ocs"),
    (with_member("places/../evil.folder"), "no backup of ocs"),
    (with_member("/etc/passwd"), "no backup of ocs"),
    (with_member("project/deployments/bomb", b"\0" * 50_000_000, size=100), "does not hold what its manifest names"),
    (with_member("store", b"no database"), "file is not a database"),
    (of_a_newer_prefect, "The backup is of Prefect 99.1"),
]


@pytest.mark.parametrize(("change", "why"), FORGED, ids=[why[:40] + str(n) for n, (_, why) in enumerate(FORGED)])
def test_what_is_forged_is_refused_and_changes_nothing(
    ocs: Ocs, kept: Path, change: Callable[[Members, Any], None], why: str
) -> None:
    rewritten(kept, change)
    before = tree(ocs)
    assert why in ocs.json("backup", "restore", kept.name, "--replace", status=1)["error"]["message"]
    assert tree(ocs) == before


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [cut, flipped, lambda path: path.write_bytes(b""), lambda path: path.write_text("x")])
def test_what_is_damaged_is_refused_and_changes_nothing(ocs: Ocs, kept: Path, harm: Callable[[Path], object]) -> None:
    harm(kept)
    before = tree(ocs)
    for command in (("verify",), ("restore", "--replace")):
        said = ocs.json("backup", *command, kept.name, status=1)["error"]
        assert "no backup of ocs" in said["message"] or "damaged" in said["message"]
    assert tree(ocs) == before


def test_a_bomb_in_the_zip_is_read_no_farther_than_it_was_said_to_be(ocs: Ocs, kept: Path) -> None:
    """The sizes in the zip's own directory may lie as well."""
    rewritten(kept, with_member("project/deployments/bomb", b"\0" * 50_000_000))
    data = kept.read_bytes()
    said, lie = (50_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert data.count(said) >= 1
    kept.write_bytes(data.replace(said, lie))
    manifest_says_less = ocs.json("backup", "restore", kept.name, "--replace", status=1)["error"]["message"]
    assert "does not hold" in manifest_says_less or "damaged" in manifest_says_less
    assert not list(ocs.home.glob(".restore-*"))


def test_a_store_of_a_newer_version_is_refused(ocs: Ocs, kept: Path) -> None:
    with closing(sqlite3.connect(ocs.home / "store.db")) as store, store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = Path(ocs.json("backup", "create")["backup"]["file"])
    said = ocs.json("backup", "restore", newer.name, "--replace", status=1)["error"]["message"]
    assert "of a newer version" in said


def test_only_so_many_of_a_project_are_kept(ocs: Ocs, kept: Path) -> None:
    others = [kept.with_name("other-20200101T000000Z.backup.zip"), kept.with_name("notes.zip")]
    for other in others:
        other.write_text("mine")
    made = [Path(ocs.json("backup", "create", "--keep", "2")["backup"]["file"]) for _ in range(3)]
    assert not kept.exists()
    assert set(kept.parent.iterdir()) == {*others, *made[1:]}
    problems = {each["file"]: each.get("problem") for each in ocs.json("backup", "list")["backups"]}
    assert "no backup of ocs" in str(problems[str(others[0])])


def test_what_cannot_be_written_leaves_nothing(ocs: Ocs) -> None:
    ocs("runs", "list")
    (ocs.folder / "file").write_text("")
    said = ocs.json("backup", "create", "--folder", str(ocs.folder / "file" / "below"), status=1)["error"]["message"]
    assert "cannot be written" in said


def test_there_is_nothing_to_back_up(ocs: Ocs) -> None:
    assert "nothing to back up" in ocs.json("backup", "create", status=1)["error"]["message"]
    assert not ocs.home.exists()


def test_a_job_that_looks_at_another_store_backs_up_nothing(ocs: Ocs, kept: Path) -> None:
    said = ocs("--json", "backup", "create", OCS_RUN_ID=str(uuid4()))
    assert "is not the job's own" in said.json["error"]["message"]
    assert [*kept.parent.iterdir()] == [kept]


def test_a_damaged_database_is_told_and_not_kept(ocs: Ocs, kept: Path) -> None:
    store = ocs.home / "store.db"
    with store.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff" * 60_000)
    said = ocs.json("backup", "create", status=1)["error"]["message"]
    assert "damaged" in said or "cannot be read" in said
    assert [*kept.parent.iterdir()] == [kept]


def test_on_a_move_nothing_is_in_doubt(ocs: Ocs, kept: Path) -> None:
    restored = ocs.json("backup", "restore", kept.name, "--replace", "--lost-at", "backup")["restored"]
    assert restored["lost_at"] == restored["made_at"]


@pytest.mark.parametrize("lost_at", ["2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00", "soon"])
def test_a_loss_before_the_backup_or_to_come_is_wrong_usage(ocs: Ocs, kept: Path, lost_at: str) -> None:
    ocs.json("backup", "restore", kept.name, "--replace", "--lost-at", lost_at, status=2)


def links(path: Path) -> Iterator[Path]:
    return (each for each in path.rglob("*") if each.is_symlink())


def test_no_link_is_made_or_followed(ocs: Ocs, kept: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (ocs.folder / "deployments").rename(ocs.folder / "before")
    (ocs.folder / "deployments").symlink_to(outside)
    (outside / "jobs").mkdir()
    ocs.json("backup", "restore", kept.name, "--replace")
    assert not list((outside / "jobs").iterdir())
    assert not list(links(ocs.folder / "deployments"))
    assert (ocs.folder / "deployments" / "jobs" / "hello.yaml").read_text() == HELLO


def test_a_folder_on_a_disk_that_is_not_there_is_not_made(ocs: Ocs, tmp_path: Path) -> None:
    ocs("runs", "list")
    error = ocs.json("backup", "create", "--folder", str(tmp_path / "disk" / "kept"), status=1)["error"]
    assert ("there is no folder" in error["message"], "mkdir -p" in error["hint"]) == (True, True)
    assert not (tmp_path / "disk").exists()
