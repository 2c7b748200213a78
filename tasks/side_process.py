"""Side processes: small Python programs beside this process, which read from it what they are to do."""

from __future__ import annotations

import subprocess
import sys


def start_side_process(*arguments: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start one in a session of its own, with nothing of this process's environment and folder."""
    return subprocess.Popen(
        [sys.executable, "-I", *arguments],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={},
        start_new_session=True,
    )
