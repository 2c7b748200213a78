"""A dispatch whose flow run broke is sent again after pauses that double, for a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ocs.rules.sent_again import Sending, sending

READY = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "now", "becomes"),
    [
        (0, 1, Sending.LATER),
        (0, 2, Sending.AGAIN),
        (60, 119, Sending.LATER),
        (60, 120, Sending.AGAIN),
        (24 * 60, 48 * 60, Sending.AGAIN),
        (24 * 60 + 1, 72 * 60, Sending.NEVER),
        (-60, -59, Sending.LATER),  # published before it was due
        (-60, 1, Sending.AGAIN),
    ],
)
def test_when(sent: int, now: int, becomes: Sending) -> None:
    """In minutes after it could run."""
    assert sending(READY, READY + timedelta(minutes=sent), READY + timedelta(minutes=now)) is becomes


def test_what_breaks_every_time_is_sent_about_ten_times() -> None:
    now, sent, times = READY, READY, 1
    while (becomes := sending(READY, sent, now)) is not Sending.NEVER:
        if becomes is Sending.AGAIN:
            sent, times = now, times + 1
        now += timedelta(seconds=30)
    assert times == 12
