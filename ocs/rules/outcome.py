"""The sentence that says how a run ended: in the UI, on the command line, in a message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.rules.retry import Again, GiveUp, Snooze
from ocs.spec import format_duration


def sentence(
    result: DispatchResult, took: timedelta, following: Again | Snooze | GiveUp, max_retries: int, notes: Sequence[str]
) -> str:
    """How it ended, what follows, and what was left out, in that order."""
    if result.status is RunStatus.OK:
        code = "" if result.exit_code is None else f" with exit code {result.exit_code}"
        ended = f"Done{code} in {_readable(took)}."
    else:
        ended = result.error or f"Ended as {result.status}."
    if isinstance(following, Again):
        delay = _readable(following.delay)
        then = f"Retry {following.attempt - 1} of {max_retries} follows in {delay}."
        if result.status is RunStatus.CRASHED:
            then = "It is begun again, because run.guarantee is at-least-once."
    elif isinstance(following, Snooze):
        then = f"It is tried again in {_readable(following.delay)}; this is not counted as an attempt."
    else:
        then = following.why
    return " ".join(part for part in (ended, then, *result.notes, *notes) if part)


def _readable(span: timedelta) -> str:
    return format_duration(timedelta(seconds=round(span.total_seconds(), 1)))
