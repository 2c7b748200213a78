"""A disk that is full ends nobody who only has something to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["ocs.server.supervisor", "ocs.worker.__main__"])
def test_what_cannot_be_said_is_not_said(module: str) -> None:
    with Path("/dev/full").open("wb") as full:
        code = f"from {module} import say; say('here I am'); import os; os._exit(0)"
        assert subprocess.run([sys.executable, "-c", code], stdout=full, stderr=full, check=False).returncode == 0
