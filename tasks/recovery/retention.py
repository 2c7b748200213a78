"""Retention: delete old records, and outputs of runs without a record. Prefect keeps its own history."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client

from ocs import settings
from ocs.spec.policies import Lifecycle
from ocs.store import Store, retention
from ocs.store.retention import Pruned
from tasks.adapter import runtime
from tasks.adapter.deployed import job_in, tagged_deployments

IN_USE = timedelta(hours=1)
"""A folder younger than this may belong to a run whose record is not there yet."""


async def prune() -> Pruned:
    """Delete what is beyond each job's `lifecycle.keep_runs`, and what is past its time.

    Of a job with an unreadable document nobody knows how much to keep, so its runs stay.
    """
    store = await runtime.store()
    keep: dict[str, int] = {}
    async with get_client() as client:
        async for deployment in tagged_deployments(client, "ocs"):
            job = job_in(deployment.parameters)
            keep[deployment.name] = job.lifecycle.keep_runs if job else sys.maxsize
    pruned = await retention.prune(store, keep, otherwise=Lifecycle().keep_runs, now=runtime.clock())
    await _delete_orphaned_outputs(store)
    return pruned


async def _delete_orphaned_outputs(store: Store) -> None:
    folders = await asyncio.to_thread(_old_folders)
    known = await retention.known_runs(store, folders)
    for run_id in folders.keys() - known:
        await asyncio.to_thread(shutil.rmtree, folders[run_id], ignore_errors=True)


def _old_folders() -> dict[UUID, Path]:
    """The folders of large outputs on this host, by run; a folder of another name is not ours."""
    found: dict[UUID, Path] = {}
    runs = settings.artifacts_dir() / "runs"
    for folder in runs.iterdir() if runs.is_dir() else ():
        try:
            if time.time() - folder.stat().st_mtime > IN_USE.total_seconds():
                found[UUID(folder.name)] = folder
        except (ValueError, OSError):
            continue
    return found
