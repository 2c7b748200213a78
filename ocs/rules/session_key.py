"""Session keys: which conversation of an agent a turn belongs to."""

from __future__ import annotations

from uuid import UUID


def session_key(session: str, *, agent: str, job_id: str, run_id: UUID) -> str:
    """The key for the policy `fresh` (a conversation per run), `job` (one per job), `main`, or a key of one's own.

    Runs of a job share nothing unless they ask for it. Keys belong to the agent.
    """
    match session:
        case "fresh":
            key = f"scheduler:{job_id}:{run_id}"
        case "job":
            key = f"scheduler:{job_id}"
        case _:
            key = session
    return key if key.startswith("agent:") else f"agent:{agent}:{key}"
