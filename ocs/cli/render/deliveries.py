"""Deliveries as a table for people: what was told to whom, and what could not be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ocs.cli.render.output import table
from ocs.rules.wording import SHORT, count_of, first_line, local


def show_deliveries(views: Sequence[dict[str, Any]]) -> None:
    """A line for each."""
    rows = [(view["id"][:SHORT], view["job"], view["target"], view["status"], _remark(view)) for view in views]
    table(("DELIVERY", "JOB", "TO", "STATUS", ""), rows)


def _remark(view: dict[str, Any]) -> str:
    if view["status"] == "sent":
        return local(view["ended_at"])
    error = first_line(view["error"], 200)
    if view["status"] == "failed":
        return f"given up after {count_of(view['attempts'], 'attempt')}. {error}"
    if view["status"] == "pending" and error:
        return f"again at {local(view['next_attempt_at'])}. {error}"
    return "being sent" if view["status"] == "pending" else error
