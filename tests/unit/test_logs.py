"""Logs as JSON: a document a line, of Prefect's loggers too."""

from __future__ import annotations

import json
import subprocess
import sys

SPEAKS = """
import sys
from ocs import logs
logs.use(logs.LogFormat(sys.argv[1]))
from prefect.logging import get_logger
from prefect.logging.configuration import setup_logging
setup_logging()
print(logs.line("It begins.", "ocs.worker"), file=sys.stderr)
get_logger("worker.openclaw").warning("Could not %s:\\n[bold]%s", "ask", "x" * 500, extra={"flow_run_id": "f-1"})
try:
    raise ValueError("broken")
except ValueError:
    get_logger("worker.openclaw").exception("It failed")
"""


def said(chosen: str) -> list[str]:
    ended = subprocess.run([sys.executable, "-c", SPEAKS, chosen], capture_output=True, text=True, check=True)
    return ended.stderr.splitlines()


def test_every_line_is_a_document_whoever_writes_it() -> None:
    begins, warning, failed = map(json.loads, said("json"))
    assert (begins["logger"], begins["level"], begins["message"]) == ("ocs.worker", "info", "It begins.")
    assert (warning["logger"], warning["level"]) == ("prefect.worker.openclaw", "warning")
    assert warning["message"] == f"Could not ask:\n[bold]{'x' * 500}"
    assert warning["flow_run_id"] == "f-1"
    assert failed["exception"].endswith("ValueError: broken")
    assert all(each["time"].endswith("Z") for each in (begins, warning, failed))


def test_as_text_they_stay_lines_for_people() -> None:
    begins, *others = said("text")
    assert begins.endswith(" It begins.")
    assert any("WARNING | prefect.worker.openclaw - Could not ask" in line for line in others)
