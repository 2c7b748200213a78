"""Jitter: how far after its due time an occurrence starts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta


def starts_at(job_id: str, scheduled_for: datetime, jitter: timedelta) -> datetime:
    """When an occurrence of a schedule with this jitter starts."""
    return scheduled_for + offset(job_id, scheduled_for, jitter)


def offset(job_id: str, scheduled_for: datetime, jitter: timedelta) -> timedelta:
    """A delay in [0, jitter): the same for the same occurrence wherever it is computed, unlike between jobs."""
    occurrence = f"{job_id}:{scheduled_for.astimezone(UTC).isoformat()}"
    share = int.from_bytes(hashlib.sha256(occurrence.encode()).digest()[:8]) / 2**64
    return jitter * share
