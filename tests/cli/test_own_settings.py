"""What stands in a folder is no setting of whoever stands there: a setting can name code that is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import OCS, Ocs

LOGGING = "version: 1\nformatters: {{evil: {{'()': subprocess.getoutput, cmd: 'touch {trace}'}}}}\n"
FILES = {
    ".env": "PREFECT_LOGGING_CONFIG_PATH={logging}\n",
    "prefect.toml": '[logging]\nconfig_path = "{logging}"\n',
    "pyproject.toml": '[tool.prefect.logging]\nconfig_path = "{logging}"\n',
}


@pytest.fixture(params=FILES)
def trace(request: pytest.FixtureRequest, ocs: Ocs, tmp_path: Path) -> Path:
    """Made by whoever reads the settings that stand in the project's folder."""
    trace, logging = tmp_path / "trace", tmp_path / "logging.yml"
    logging.write_text(LOGGING.format(trace=trace))
    (ocs.folder / request.param).write_text(FILES[request.param].format(logging=logging))
    return trace


def call(ocs: Ocs, *command: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, which imports Prefect while it stands there."""
    env = ocs.environment(PREFECT_API_URL="http://127.0.0.1:1/api")
    return subprocess.run(command, cwd=ocs.folder, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_a_command_reads_no_settings_of_the_folder_it_stands_in(ocs: Ocs, trace: Path) -> None:
    said = call(ocs, str(OCS), "doctor")
    assert "The Prefect server at http://127.0.0.1:1/api does not answer" in said.stdout + said.stderr, said
    assert not trace.exists()


def test_nor_does_a_worker(ocs: Ocs, trace: Path) -> None:
    said = call(ocs, sys.executable, "-P", "-m", "ocs.worker_process", "--metrics", "nowhere")
    assert (said.returncode, "nowhere" in said.stdout) == (2, True), said
    assert not trace.exists()


def test_stock_prefect_does(ocs: Ocs, trace: Path) -> None:
    """So that the tests above say something."""
    said = call(ocs, sys.executable, "-c", "import prefect.main; prefect.get_run_logger")
    assert trace.exists(), said
