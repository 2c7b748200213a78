"""Prefect's database is brought up to date in a process of its own, so that what this takes does not stay in memory."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from ocs.parent_death import VARIABLE, end_with_parent

ON_START = "PREFECT_SERVER_DATABASE_MIGRATE_ON_START"


def take_over() -> bool:
    """Whether we do it, and not Prefect in its own process; to be asked before Prefect is imported.

    Who has set it themselves gets what they have set. Elsewhere than on Linux the system's libraries may not bear a
    copy of a process that has imported as much.
    """
    ours = sys.platform == "linux" and ON_START not in os.environ
    if ours:
        os.environ[ON_START] = "false"
    return ours


def migrate_apart() -> None:
    """Bring it up to date, and wait for that; a failure has been told on standard error, and ends this process too."""
    from prefect.server.database import provide_database_interface

    if not done_apart(provide_database_interface().create_db):
        sys.exit(1)


def done_apart(work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Whether a copy of this process, which dies with it, has done the work."""
    ends_with_us, held_by_us = os.pipe()
    copy = os.fork()
    if copy:
        os.close(ends_with_us)
        _, status = os.waitpid(copy, 0)
        os.close(held_by_us)
        return status == 0
    status = 1
    try:
        os.close(held_by_us)
        os.dup2(ends_with_us, sys.stdin.fileno())
        os.environ[VARIABLE] = "1"
        end_with_parent(patience=None)
        asyncio.run(work())
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
