"""Attribution: who does something, from where and when. The audit trail keeps it beside what was done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Attribution:
    """The `actor` does something at `now`, through the door named `source`: `cli`, `python`, `prefect`."""

    actor: str
    source: str
    now: datetime
