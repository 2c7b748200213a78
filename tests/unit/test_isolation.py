"""A chore for many jobs: one that fails harms no other, and is told at the end."""

from __future__ import annotations

import httpx
import pytest

from ocs.errors import StoreAway
from tasks.recovery.isolation import Isolation


def test_each_job_has_its_turn_and_those_that_failed_are_told() -> None:
    isolation = Isolation("Counting")
    done: list[str] = []
    for job in ("a", "b", "c"):
        with isolation.job(job):
            if job == "b":
                raise ValueError("no")
            done.append(job)
    assert done == ["a", "c"]
    with pytest.raises(ExceptionGroup, match="Counting failed for b") as told:
        isolation.raise_failures()
    assert [str(each) for each in told.value.exceptions] == ["no"]


def test_nothing_is_told_of_jobs_that_went_well() -> None:
    isolation = Isolation("Counting")
    with isolation.job("a"):
        pass
    isolation.raise_failures()


@pytest.mark.parametrize("away", [StoreAway("away"), httpx.ConnectError("refused")])
def test_what_is_away_for_all_ends_the_chore(away: Exception) -> None:
    with pytest.raises(type(away)), Isolation("Counting").job("a"):
        raise away
