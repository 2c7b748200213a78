"""What Prefect's objects say, as values of ours: the job document in parameters, an instant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def document_in(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The job document that the parameters of a deployment or a flow run say; empty when they say none."""
    document: Any = parameters.get("job")
    return document if isinstance(document, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def instant(moment: datetime) -> datetime:
    """An instant of Prefect's as a plain `datetime` in UTC: Prefect has a class of its own for them."""
    return datetime.fromtimestamp(moment.timestamp(), UTC)
