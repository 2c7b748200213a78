"""Origin: why a flow run exists, and whether it may run what it says; forged values get around no rule."""

from __future__ import annotations

from uuid import UUID

from ocs.spec import Job, unsupported


def key_of(dispatch_id: UUID, publication: int) -> str:
    """The idempotency key of a dispatch's flow run: each publication of the dispatch makes one."""
    return f"{dispatch_id}:{publication}" if publication else str(dispatch_id)


def named_in(key: str | None) -> tuple[UUID, int] | None:
    """The dispatch and publication that such a key names, None when it names none."""
    written, colon, number = (key or "").partition(":")
    try:
        named = UUID(written), int(number) if colon else 0
    except ValueError:
        return None
    return named if named[1] >= 0 and key_of(*named) == key else None


def objection(job: Job, deployed_as: str) -> str | None:
    """What stands against running `job` in the deployment of that name; None when nothing does.

    A run with values of its own may change anything that a rollout of the job may, but which job it is.
    """
    if job.id != deployed_as:
        return (
            f'This run\'s parameters say id "{job.id}", but it belongs to the job "{deployed_as}". '
            "Leave the id as it is; to run another job, start that job."
        )
    refused = [str(problem) for problem in unsupported(job)]
    return f"{job.id} cannot be run like that. {'; '.join(refused)}." if refused else None
