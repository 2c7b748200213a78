"""Isolation: a chore for job after job. One that fails harms no other, and is raised at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import httpx
from prefect.logging import get_logger

from ocs.errors import StoreAway

AWAY = (StoreAway, httpx.TransportError)
"""The store or the server does not answer: the next job would fail in the same way."""


class Isolation:
    """The jobs of a chore that have failed so far."""

    def __init__(self, chore: str) -> None:
        self._chore = chore
        self.failed: dict[str, Exception] = {}

    @contextlib.contextmanager
    def job(self, job_id: str) -> Generator[None]:
        """Do it for one job, and keep what it raises for the end.

        Raises:
            StoreAway: for every job.
            TransportError: for every job.
        """
        try:
            yield
        except AWAY:
            raise
        except Exception as failed:
            get_logger(__name__).exception("%s: the job %s fails, the others go on", self._chore, job_id)
            self.failed[job_id] = failed

    def raise_failures(self) -> None:
        """Say which jobs failed, after the chore has tried all.

        Raises:
            ExceptionGroup: some did.
        """
        if self.failed:
            raise ExceptionGroup(f"{self._chore} failed for {', '.join(self.failed)}", list(self.failed.values()))
