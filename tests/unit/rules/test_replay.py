"""Whether a run whose worker died is begun again (B-7.2, W18, W24)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ocs.rules.replay import after_crash
from ocs.rules.retry import Again, GiveUp
from ocs.spec import Job
from ocs.spec.run import Run


def run(guarantee: str, max_replays: int = 2) -> Run:
    document = {"shell": "true", "guarantee": guarantee, "max_replays": max_replays}
    return Job.model_validate({"id": "load", "run": document}).run


def test_an_at_least_once_run_is_the_same_attempt_again_at_once() -> None:
    decided = after_crash(run("at-least-once"), attempt=2, replays=1, queue_free=1)
    assert decided == Again(2, timedelta(0))


@pytest.mark.parametrize(
    ("guarantee", "replays", "queue_free", "why"),
    [
        ("at-most-once", 0, 1, "at-most-once"),
        ("at-least-once", 2, 1, "all 2 replays are used"),
        ("at-least-once", 0, 0, "queue is full"),
    ],
)
def test_otherwise_it_is_said_why_not(guarantee: str, replays: int, queue_free: int, why: str) -> None:
    decided = after_crash(run(guarantee), attempt=1, replays=replays, queue_free=queue_free)
    assert isinstance(decided, GiveUp)
    assert why in decided.why
