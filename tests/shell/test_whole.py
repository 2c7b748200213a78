"""A large output is kept in a file: whole, or its beginning and its end, or nothing of it when the disk is full."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocs.rules.dispatch import RunStatus
from ocs.spec import Output
from tasks.strategies import whole
from tasks.strategies.whole import WholeOutput
from tests.shell.test_shell import Bench, bench

__all__ = ["bench"]


def output(**sizes: int) -> Output:
    return Output.model_validate({"store": 1024, "excerpt": 64, "summary": 64, **sizes})


@given(
    pieces=st.lists(st.binary(max_size=400), max_size=20), offload=st.integers(128, 1000), keep=st.integers(128, 1000)
)
def test_the_file_has_all_of_it_or_its_beginning_and_its_end(
    tmp_path_factory: pytest.TempPathFactory, pieces: Sequence[bytes], offload: int, keep: int
) -> None:
    file, said = tmp_path_factory.mktemp("outputs") / "run" / "stdout.txt", b"".join(pieces)
    kept = WholeOutput(file, output(offload=offload, keep=keep))
    for piece in pieces:
        kept.write(piece)
    kept.finish()
    if len(said) <= offload:
        assert (kept.path, kept.trouble, file.exists()) == (None, None, False)
        return
    assert kept.path == file
    if len(said) <= keep:
        assert (file.read_bytes(), kept.trouble, kept.dropped) == (said, None, 0)
        return
    beginning, mark, end = file.read_bytes().partition(
        f"\n[... {kept.dropped:,} bytes are left out here ...]\n".encode()
    )
    assert mark
    assert said.startswith(beginning)
    assert said.endswith(end)
    assert len(beginning) + len(end) == keep == len(said) - kept.dropped
    assert f"{kept.dropped:,} bytes in the middle of its stdout were not kept: output.keep is {keep}B." == kept.trouble


async def test_a_run_says_how_much_of_its_output_was_not_kept(bench: Bench) -> None:
    result = await bench.run("seq 1 100000", output=Output(keep=100_000))
    assert result.stdout.path is not None
    kept = Path(result.stdout.path).read_text()
    assert kept.startswith("1\n2\n")
    assert kept.endswith("\n99999\n100000\n")
    assert result.stdout.bytes == 588_895
    assert result.stdout.dropped == 488_895
    (note,) = result.notes
    assert note == "488,895 bytes in the middle of its stdout were not kept: output.keep is 100KB."
    assert note in result.summary
    assert f"(all but 488,895 of 588,895 bytes: {result.stdout.path})" in result.summary


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte, which only root may mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no small disk can be mounted here: that takes root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("reserved", [True, False], ids=["noticed before", "noticed when it is full"])
@pytest.mark.parametrize("lines", [20_000, 200_000], ids=["found at the end", "found meanwhile"])
async def test_what_does_not_fit_on_the_disk_is_taken_away_and_told(
    full_disk: Path, monkeypatch: pytest.MonkeyPatch, reserved: bool, lines: int
) -> None:
    if not reserved:
        monkeypatch.setattr(whole, "is_short", lambda **_disk: False)
    filler = full_disk / "filler"
    filler.write_bytes(b"0" * 1_000_000)
    result = await Bench(full_disk / "artifacts").run(f"seq 1 {lines}; seq 1 {lines} >&2")
    assert (result.status, result.stdout.path, result.stderr.path) == (RunStatus.OK, None, None)
    assert result.stdout.text.startswith("1\n2\n")
    assert result.stdout.text.endswith(f"\n{lines}")
    assert not [path for path in full_disk.rglob("*") if path.is_file() and path != filler]
    assert [note.partition(str(full_disk))[0] for note in result.notes] == [
        "Its whole output could not be kept in "
    ] * 2
    filler.unlink()
    again = await Bench(full_disk / "artifacts").run("seq 1 20000")
    assert again.stdout.path is not None
    assert again.notes == ()


async def test_below_the_reserve_nothing_is_put_on_the_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    little = shutil.disk_usage("/")._replace(total=10**12, free=99 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: little)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    result = await bench.run("seq 1 20000")
    assert result.stdout.path is None
    assert "only 99 MiB are free on that disk; make room there." in result.notes[0]
    assert result.status is RunStatus.OK
    assert not list(bench.artifacts.rglob("*"))
