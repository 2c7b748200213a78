"""What "running" means in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, and_
from sqlmodel import col

from ocs.rules.dispatch import RunStatus
from ocs.store.tables import Run


def is_running() -> ColumnElement[bool]:
    """SQL: the run has not ended."""
    return col(Run.status) == RunStatus.RUNNING


def is_alive(now: datetime) -> ColumnElement[bool]:
    """SQL: the run has not ended, and whoever executes it said so lately."""
    return and_(is_running(), col(Run.lease_until) > now)
