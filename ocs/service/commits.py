"""Commits: whether a repository has one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ocs.errors import Refused

PATIENCE = 10.0
NOTHING_FETCHED = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
"""The second is for a git before 2.45; no configuration overrides it, as it would an option."""


async def is_commit(sha: str, folder: Path) -> bool:
    """Whether the repository that a folder is in has that commit, here: it is asked of nobody else.

    A repository whose history is elsewhere names in its own configuration the command that gets it from there.

    Raises:
        Refused: git is not there to be asked, or does not answer.
    """
    try:
        git = await asyncio.create_subprocess_exec(
            "git", "-C", str(folder), "cat-file", "-e", f"{sha}^{{commit}}",
            env={**os.environ, **NOTHING_FETCHED},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as missing:
        raise Refused(f"git cannot be asked for the commit: {missing.strerror}.") from missing
    try:
        async with asyncio.timeout(PATIENCE):
            return await git.wait() == 0
    except TimeoutError:
        git.kill()
        raise Refused(f"git did not say within {PATIENCE:g} s whether {sha} is a commit in {folder}.") from None
