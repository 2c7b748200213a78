"""When a failed run is tried again, and how long a failing schedule pauses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, sampled_from

from ocs.rules.cooldown import paused_until
from ocs.rules.dispatch import RunStatus
from ocs.rules.retry import Again, GiveUp, Snooze, next_attempt, same_attempt
from ocs.spec import Retry

LADDER = Retry(max=20)
ENDED = datetime(2026, 3, 29, 0, 59, tzinfo=UTC)


@pytest.mark.parametrize(("attempt", "seconds"), [(1, 30), (2, 60), (3, 120), (9, 3600), (20, 3600)])
def test_the_ladder_doubles_up_to_the_cap(attempt: int, seconds: int) -> None:
    decision = next_attempt(LADDER, attempt=attempt, status=RunStatus.ERROR, queue_free=1, spread=0)
    assert decision == Again(attempt + 1, timedelta(seconds=seconds))


@given(attempt=integers(1, 10_000), spread=floats(-1, 1))
def test_jitter_never_makes_a_delay_negative_or_twice_the_cap(attempt: int, spread: float) -> None:
    policy = Retry(max=10_000, jitter=1)
    decision = next_attempt(policy, attempt=attempt, status=RunStatus.TIMEOUT, queue_free=1, spread=spread)
    assert isinstance(decision, Again)
    assert timedelta(0) <= decision.delay <= 2 * policy.cap


@pytest.mark.parametrize("status", [RunStatus.OK, RunStatus.CANCELLED, RunStatus.SKIPPED, RunStatus.CRASHED])
def test_only_failures_are_retried(status: RunStatus) -> None:
    assert next_attempt(LADDER, attempt=1, status=status, queue_free=1, spread=0) == GiveUp("")


@pytest.mark.parametrize(
    ("policy", "attempt", "free", "why"),
    [
        (Retry(max=0), 1, 1, ""),
        (Retry(max=1), 2, 1, "Its one retry is used."),
        (Retry(max=2), 3, 1, "All 2 retries are used."),
        (Retry(max=2), 1, 0, "Not retried: the job's queue is full."),
        (Retry(max=2, on=("timeout",)), 1, 1, "After this kind of end (error) it is not retried."),
    ],
)
def test_why_no_attempt_follows(policy: Retry, attempt: int, free: int, why: str) -> None:
    decision = next_attempt(policy, attempt=attempt, status=RunStatus.ERROR, queue_free=free, spread=0)
    assert decision == GiveUp(why)


def test_what_time_does_not_mend_is_not_retried() -> None:
    decision = next_attempt(LADDER, attempt=1, status=RunStatus.ERROR, retryable=False, queue_free=1, spread=0)
    assert decision == GiveUp("Not retried: a further attempt would end the same way.")


@pytest.mark.parametrize(
    ("free", "another_waits", "decision"),
    [
        (1, False, Snooze(3, timedelta(seconds=60))),
        (0, False, GiveUp("Not tried again: the job's queue is full.")),
        (
            1,
            True,
            GiveUp("An earlier run of the job waits to be tried again already; this one falls together with it."),
        ),
    ],
)
def test_a_run_that_could_do_nothing_is_the_same_attempt_later(
    free: int, another_waits: bool, decision: Snooze | GiveUp
) -> None:
    minute = timedelta(seconds=60)
    assert same_attempt(minute, attempt=3, queue_free=free, another_waits=another_waits) == decision


@pytest.mark.parametrize(("errors", "seconds"), [(1, 30), (2, 60), (3, 300), (4, 900), (5, 3600), (50, 3600)])
def test_the_reference_s_ladder_of_consecutive_errors(errors: int, seconds: int) -> None:
    """Acceptance row 32: instants, so no host's zone plays a part (W10)."""
    assert paused_until(errors, ENDED) == ENDED + timedelta(seconds=seconds)


@given(errors=integers(-3, 0), ended=sampled_from([None, ENDED]))
def test_without_errors_nothing_pauses(errors: int, ended: datetime | None) -> None:
    assert paused_until(errors, ended) is None
