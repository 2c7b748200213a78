"""Several real processes claim hundreds of occurrences at once: pools, overlap and idempotency hold (W25)."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ocs.rules.attribution import Attribution
from ocs.rules.dispatch import RunStatus
from ocs.rules.guards import SkipReason
from ocs.store import Store, queries, set_slots
from tests.store.claimer import JOBS, OCCURRENCES, now

PROCESSES = 3
PATIENCE = 300
ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(PATIENCE + 60)
@pytest.mark.parametrize("store_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True)
async def test_processes_that_claim_at_once_keep_pools_overlap_and_idempotency(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    await set_slots(store, "two", 2, by=Attribution("test", "test", now()))
    traces = tmp_path / "traces"
    command = [sys.executable, "-m", "tests.store.claimer", store_url, str(traces)]
    claimers = [subprocess.Popen(command, cwd=ROOT) for _ in range(PROCESSES)]
    try:
        assert [claimer.wait(PATIENCE) for claimer in claimers] == [0] * PROCESSES
    finally:
        for claimer in claimers:
            claimer.kill()
            claimer.wait()

    lines = [line.split() for line in traces.read_text().splitlines()]
    begun = Counter((job, occurrence) for sign, job, _, occurrence in lines if sign == "+")
    assert set(begun.values()) == {1}, "an occurrence ran twice"
    assert most_at_once(lines, "pooled-a", "pooled-b") <= 2
    assert most_at_once(lines, "queued") == 1
    assert most_at_once(lines, "alone") == 1

    runs = await queries.runs(store, limit=10_000)
    assert not [run for run in runs if not run.status.final]
    executed = Counter(run.job_id for run in runs if run.status is not RunStatus.SKIPPED)
    assert {name: executed[name] for name in ("pooled-a", "pooled-b", "queued")} == dict.fromkeys(
        ("pooled-a", "pooled-b", "queued"), OCCURRENCES
    ), "something that may wait was lost"
    skipped = Counter(run.skip_reason for run in runs if run.status is RunStatus.SKIPPED)
    assert set(skipped) <= {SkipReason.DUPLICATE, SkipReason.OVERLAP}
    assert {run.job_id for run in runs} == {job.id for job in JOBS}


def most_at_once(lines: list[list[str]], *jobs: str) -> int:
    """How many runs of these jobs were at work at the same time, at most."""
    at_work = most = 0
    for sign, job, *_ in lines:
        if job in jobs:
            at_work += 1 if sign == "+" else -1
            most = max(most, at_work)
    return most
