"""Runs as other programs see them: the fixed keys of the command line's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ocs.rules.dispatch import DispatchKind
from ocs.rules.shell_result import without_labels
from ocs.service.records import Status, as_json, run_records

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import Run


TEXT = {"type": "string"}
MAYBE_TEXT = {"type": ["string", "null"]}
MOMENT = {"type": "string", "format": "date-time"}
MAYBE_MOMENT = {"type": ["string", "null"], "format": "date-time"}
RUN_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "id": (TEXT, "The run's id."),
    "job": (TEXT, "The job's id."),
    "status": ({"enum": [str(status) for status in Status]}, "How it stands."),
    "kind": ({"enum": [str(kind) for kind in DispatchKind]}, "Why it ran."),
    "attempt": ({"type": "integer", "minimum": 1}, "1 for the first."),
    "scheduled_for": (MOMENT, "The instant it was meant for."),
    "started_at": (MOMENT, "When it was claimed."),
    "finished_at": (MAYBE_MOMENT, "When it ended."),
    "duration_s": ({"type": ["number", "null"]}, "Seconds between the two."),
    "exit_code": ({"type": ["integer", "null"]}, "The shell's exit status."),
    "folder": (MAYBE_TEXT, "The folder its command started in."),
    "summary": (TEXT, "What it said, cut to size."),
    "error": (MAYBE_TEXT, "What went wrong, in a sentence."),
    "notes": ({"type": "array", "items": TEXT}, "What else a person should know, such as processes it had left."),
    "flow_run_id": (TEXT, "The run in Prefect."),
    "retry_of": (MAYBE_TEXT, "The run this is a further attempt of."),
    "parent_run": (MAYBE_TEXT, "The run that caused it."),
    "children": ({"type": "array", "items": TEXT}, "Runs of other jobs that followed."),
    "deliveries": ({"type": "array", "items": {"type": "object"}}, "Messages about it, and how each stands."),
}


def run_schema() -> dict[str, Any]:
    """The JSON Schema of a run as `--json` shows it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A run of prefect-openclaw",
        "type": "object",
        "properties": {key: {**kind, "description": meaning} for key, (kind, meaning) in RUN_KEYS.items()},
        "required": list(RUN_KEYS),
    }


async def run_views(store: Store, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Runs with what followed them."""
    return [as_json(record) for record in await run_records(store, runs)]


def said(view: Mapping[str, Any]) -> str:
    """What a run has to say for itself: what went wrong, else what it printed."""
    return without_labels(str(view["error"] or view["summary"]))
