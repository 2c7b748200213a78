"""The demo, as a newcomer sees it: from nothing to a finished chain, and to a clean end with Ctrl-C."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
PATIENCE = 120


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the demo needs of a checkout, away from the real one."""
    for part in ("docs/demo.py", "prefect.yaml"):
        (tmp_path / part).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    shutil.copytree(ROOT / "deployments" / "jobs", tmp_path / "deployments" / "jobs")
    shutil.copy(ROOT / "deployments" / "defaults.yaml", tmp_path / "deployments")
    return tmp_path


def test_the_demo_runs_its_chain_and_ends_cleanly(checkout: Path) -> None:
    before = {path.name for path in checkout.iterdir()}
    said = checkout / "docs" / "said.txt"
    with said.open("w") as output:
        demo = subprocess.Popen(
            [sys.executable, str(checkout / "docs" / "demo.py")],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "140"},
            start_new_session=True,
        )
    deadline = time.monotonic() + PATIENCE
    while "Watch it all in the Prefect UI" not in said.read_text():
        assert demo.poll() is None, said.read_text()
        assert time.monotonic() < deadline, said.read_text()
        time.sleep(0.2)  # between two looks at what it said
    for job in ("collect", "analyse", "report"):
        assert any(line.split()[1:4:2] == [job, "ok"] for line in said.read_text().splitlines() if job in line)
    family = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)
    assert demo.wait(PATIENCE) == 0
    _, alive = psutil.wait_procs(family, timeout=60)
    assert alive == []
    assert {path.name for path in checkout.iterdir()} == {*before, ".demo"}
    assert list((checkout / ".demo" / "home" / "machine-report").glob("report-*.txt"))
