"""The name of a run in the UI, `<job id> · <kind> · <time>`, and the tags by which people find it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from prefect.settings import get_current_settings

from ocs.rules.dispatch import DispatchKind


def run_name(job_id: str, kind: DispatchKind, attempt: int, scheduled_for: datetime) -> str:
    """The flow run's name; the time is this host's, as in the UI of a browser on it."""
    shown = f"{kind} {attempt - 1}" if kind is DispatchKind.RETRY and attempt > 1 else kind
    return f"{job_id} · {shown} · {scheduled_for.astimezone():%Y-%m-%d %H:%M:%S}"


def kind_tag(kind: DispatchKind) -> str:
    """Why the run exists, as a tag."""
    return f"kind:{kind}"


def lineage_tags(parent: UUID | None, retry_of: UUID | None) -> list[str]:
    """The flow runs that the run came from, as tags: these ids the UI can follow."""
    origins = {"parent-run": parent, "retry-of": retry_of}
    return [f"{name}:{run}" for name, run in origins.items() if run]


def page_of(flow_run_id: UUID) -> str | None:
    """The flow run's page, None without an address of the UI."""
    ui_url = get_current_settings().ui_url
    return f"{ui_url}/runs/flow-run/{flow_run_id}" if ui_url else None
