"""Open incidents, as whoever asks sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ocs.rules.wording import count_of, local, utc

if TYPE_CHECKING:
    from ocs.store import Store


async def incident_views(store: Store, *, job: str | None = None) -> list[dict[str, Any]]:
    """Incidents that somebody was told of and that go on, of one job or of all, oldest first."""
    from ocs.store.incidents import open_incidents

    return [
        {
            "job": row.job_id,
            "troubles": list(row.troubles),
            "failures": row.failures,
            "since": utc(row.opened_at),
            "told_at": utc(row.told_at),
            "times_told": row.times_told,
            "why": row.why,
        }
        for row in await open_incidents(store, job=job)
    ]


def in_words(incident: Mapping[str, Any]) -> str:
    """What is wrong and since when."""
    counted = f", {count_of(incident['failures'], 'failure')}" if incident["failures"] else ""
    told = f"told {count_of(incident['times_told'], 'time')}, last at {local(incident['told_at'])}"
    return f"{' and '.join(incident['troubles'])} since {local(incident['since'])}{counted}; {told}"
