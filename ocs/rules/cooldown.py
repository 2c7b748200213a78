"""Failure cooldown: how long a job's schedule pauses after errors in a row."""

from __future__ import annotations

from datetime import datetime, timedelta

LADDER = tuple(timedelta(seconds=seconds) for seconds in (30, 60, 300, 900, 3600))
"""The pause after 1, 2, 3, 4 and more consecutive errors."""


def paused_until(consecutive_errors: int, last_finished_at: datetime | None) -> datetime | None:
    """Before which instant the schedule's runs are skipped; None when nothing stands against them.

    Instants, not wall clock times: local and UTC times must not be compared.
    """
    if consecutive_errors < 1 or last_finished_at is None:
        return None
    return last_finished_at + LADDER[min(consecutive_errors, len(LADDER)) - 1]
