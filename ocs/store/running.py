"""What "running" means in the database."""

from __future__ import annotations

from sqlalchemy import ColumnElement
from sqlmodel import col

from ocs.rules.dispatch import RunStatus
from ocs.store.tables import Run


def is_running() -> ColumnElement[bool]:
    """SQL: the run has not ended.

    A run whose worker is gone counts too, until recovery has ended it: its processes may be alive, and a worker
    that could not reach the store for a while is not gone.
    """
    return col(Run.status) == RunStatus.RUNNING


def is_unfinished() -> ColumnElement[bool]:
    """SQL: the run executes, or waits for a person's decision."""
    return col(Run.status).in_([status for status in RunStatus if not status.final])
