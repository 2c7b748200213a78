"""One's own crontab: `crontab -l` is asked for it, and neither waited for without end nor read without end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocs.cli import importing
from ocs.errors import InvalidJob
from tests.cli.live import eventually


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The `crontab` that is found; it keeps its process id and that of a child in `pids`."""
    path = tmp_path / "crontab"
    path.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return path


HANGS = '#!/bin/sh\nsleep 1000 &\necho $$ $! > "$(dirname "$0")/pids"\nwait\n'


def is_gone(pid: int) -> bool:
    """Ended, or dead and not yet waited for by whoever inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def pids(program: Path) -> list[int]:
    there = program.with_name("pids")
    return [int(pid) for pid in there.read_text().split()] if there.exists() else []


def why() -> str:
    with pytest.raises(InvalidJob) as refused:
        importing.own_crontab()
    return refused.value.problems[0].message


def test_one_that_does_not_end_is_killed_with_its_children(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "CRONTAB_SECONDS", 1.0)
    program.write_text(HANGS)
    assert "does not end within 1 s" in why()
    assert len(pids(program)) == 2
    eventually(lambda: all(map(is_gone, pids(program))) or None)


@pytest.mark.parametrize("stream", ["1", "2"])
def test_one_that_says_too_much_is_killed(program: Path, stream: str) -> None:
    program.write_text(f"#!/bin/sh\nwhile :; do echo '{'x' * 1000}' >&{stream}; done\n")
    assert "more than 1,000,000 bytes" in why()


def test_one_that_says_too_much_and_ends_is_refused(program: Path) -> None:
    program.write_text("#!/bin/sh\nhead -c 1000001 /dev/zero\n")
    assert "more than 1,000,000 bytes" in why()


def test_an_interrupt_leaves_no_process_behind(program: Path) -> None:
    program.write_text(HANGS)
    asking = subprocess.Popen(
        [sys.executable, "-c", "from ocs.cli.importing import own_crontab; own_crontab()"], stderr=subprocess.DEVNULL
    )
    eventually(lambda: len(pids(program)) == 2 or None)
    asking.send_signal(signal.SIGINT)
    asking.wait()
    eventually(lambda: all(map(is_gone, pids(program))) or None)
