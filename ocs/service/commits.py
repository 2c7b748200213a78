"""Commits: whether a repository has one."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ocs.errors import Refused

PATIENCE = 10.0


async def is_commit(sha: str, folder: Path) -> bool:
    """Whether the repository that a folder is in has that commit.

    Raises:
        Refused: git is not there to be asked, or does not answer.
    """
    try:
        git = await asyncio.create_subprocess_exec(
            "git", "-C", str(folder), "cat-file", "-e", f"{sha}^{{commit}}",
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
