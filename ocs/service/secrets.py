"""Secret blocks: which there are, which jobs name, and which of those nobody made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ocs.spec import Job, Shell, Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prefect.client.orchestration import PrefectClient

PAGE = 200
NOT_FOUND = 404


async def all_secrets(client: PrefectClient) -> list[str]:
    """The names of all Secret blocks."""
    from prefect.exceptions import PrefectHTTPStatusError

    found: list[str] = []
    try:
        while page := await client.read_block_documents_by_type("secret", offset=len(found), limit=PAGE):
            found += [document.name or "" for document in page]
            if len(page) < PAGE:
                break
    except PrefectHTTPStatusError as failed:
        if failed.response.status_code != NOT_FOUND:  # nobody has made the type known yet
            raise
    return sorted(filter(None, found))


def secrets_of(job: Job) -> set[str]:
    """The Secret blocks that a job names."""
    work = job.run.work
    shell = work.check if isinstance(work, Watchdog) else work
    return set(shell.secrets.values()) if isinstance(shell, Shell) else set()


async def missing_secrets(client: PrefectClient, jobs: Iterable[Job]) -> list[tuple[str, str]]:
    """What is missing of enabled jobs, in a sentence, and the command that makes it: without it a run fails at once."""
    named: dict[str, list[str]] = {}
    for job in (job for job in jobs if job.enabled):
        for name in secrets_of(job):
            named.setdefault(name, []).append(job.id)
    there = await all_secrets(client) if named else []
    return [
        (f"{', '.join(sorted(named[name]))}: there is no secret {name}.", f"ocs secrets set {name}")
        for name in sorted(named.keys() - {*there})
    ]
