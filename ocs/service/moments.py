"""Moments as people and agents write them: so long ago, so long from now, or a moment."""

from __future__ import annotations

from datetime import datetime

from ocs.errors import UsageError
from ocs.service import session
from ocs.spec import parse_duration

YEARS = range(1971, 2200)
"""Of moments that are written: schedules are counted some years beyond them."""


def moment(option: str, text: str, direction: int) -> datetime:
    """What an option says: a moment, or so long ago (`direction` -1) or from now (1).

    Raises:
        UsageError: it is neither, or too far away.
    """
    try:
        return session.now() + direction * parse_duration(text)
    except (ValueError, OverflowError):
        pass
    try:
        return checked_moment(option, text)
    except ValueError:
        raise UsageError(f'{option} "{text}": write 2h, 7d or a moment such as 2026-11-24T08:00') from None


def checked_moment(option: str, text: str) -> datetime:
    """A moment as it is written, of a year in which calendars can be counted with.

    Raises:
        ValueError: it is none.
        UsageError: it is too far away.
    """
    given = datetime.fromisoformat(text)
    if given.year not in YEARS:
        raise UsageError(f'{option} "{text}": write a moment of the years {YEARS[0]} to {YEARS[-1]}.')
    return given.astimezone()
