"""A dispatch whose flow run broke is sent again after pauses that double, for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ocs.rules.republish import Republish, republish

READY = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "now", "becomes"),
    [
        (0, 1, Republish.LATER),
        (0, 2, Republish.AGAIN),
        (60, 119, Republish.LATER),
        (60, 120, Republish.AGAIN),
        (24 * 60, 48 * 60, Republish.AGAIN),
        (24 * 60 + 1, 72 * 60, Republish.NEVER),
        (-60, -59, Republish.LATER),  # published before it was due
        (-60, 1, Republish.AGAIN),
    ],
)
def test_when(sent: int, now: int, becomes: Republish) -> None:
    """In minutes after it could run."""
    assert republish(READY, READY + timedelta(minutes=sent), READY + timedelta(minutes=now)) is becomes


def test_what_breaks_every_time_is_sent_about_ten_times() -> None:
    now, sent, times = READY, READY, 1
    while (becomes := republish(READY, sent, now)) is not Republish.NEVER:
        if becomes is Republish.AGAIN:
            sent, times = now, times + 1
        now += timedelta(seconds=30)
    assert times == 12
