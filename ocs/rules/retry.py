"""Retry: may a failed attempt be tried again, and when?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from ocs.rules.dispatch import RunStatus

if TYPE_CHECKING:
    from ocs.spec import Retry


@dataclass(frozen=True, slots=True)
class Again:
    """Try again as attempt number `attempt`, no sooner than `delay` from now."""

    attempt: int
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Snooze:
    """The same attempt once more, no sooner than `delay` from now: nothing of it was done, so it is not counted."""

    attempt: int
    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt. `why` is a sentence for people, empty when nobody would ask."""

    why: str


def same_attempt(delay: timedelta, *, attempt: int, queue_free: int, another_waits: bool) -> Snooze | GiveUp:
    """Decide what follows a run that could do nothing, such as one that found the gateway away.

    `another_waits` says that the job has a run that will be tried again already, and this one is an occurrence that
    may fall together with it; so a long absence leaves one run behind, not one for each occurrence.
    """
    if another_waits:
        return GiveUp("An earlier run of the job waits to be tried again already; this one falls together with it.")
    if queue_free < 1:
        return GiveUp("Not tried again: the job's queue is full.")
    return Snooze(attempt, delay)


def next_attempt(
    policy: Retry, *, attempt: int, status: RunStatus, queue_free: int, spread: float, retryable: bool = True
) -> Again | GiveUp:
    """Decide what follows attempt number `attempt` (1 is the first run), which ended with `status`.

    `spread` in [-1, 1] is drawn by the caller, so the rule itself has no chance in it.
    `retryable` is False when the failure is one that time does not mend.
    The ladder has a cap, so that it does not double for ever, and jitter; timeouts are retried too.
    """
    if policy.max == 0 or status not in (RunStatus.ERROR, RunStatus.TIMEOUT):
        return GiveUp("")
    if status not in policy.on:
        return GiveUp(f"After this kind of end ({status}) it is not retried.")
    if not retryable:
        return GiveUp("Not retried: a further attempt would end the same way.")
    if attempt > policy.max:
        return GiveUp(f"All {policy.max} retries are used." if policy.max > 1 else "Its one retry is used.")
    if queue_free < 1:
        return GiveUp("Not retried: the job's queue is full.")
    # The exponent is bounded so that a long ladder cannot overflow; the cap is reached long before.
    factor = policy.factor ** min(attempt - 1, 64)
    seconds = min(policy.delay.total_seconds() * factor, policy.cap.total_seconds())
    return Again(attempt + 1, timedelta(seconds=seconds * (1 + policy.jitter * spread)))
