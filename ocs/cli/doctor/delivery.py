"""What `ocs doctor` asks about telling somebody: who hears of failures, what goes on, was given up, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from ocs.cli.doctor.project import Finding, State
from ocs.rules.wording import count_of, local
from ocs.service import session
from ocs.service.incidents import in_words, incident_views
from ocs.service.targets import unusable_targets

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from ocs.store import Store


NAMED = 5
LATELY = timedelta(minutes=10)
FORGOTTEN = timedelta(days=7)
"""Who has not been told for so long is not to be told any more."""
TELL = "ocs targets add ops --to telegram:12345; then  deliver: {to: ops}  in deployments/defaults.yaml"


def unheard() -> Iterator[Finding]:
    """Jobs of whose failures nobody hears, though they do not say that nobody has to."""
    if not session.has_project() or not (jobs := session.catalogue().jobs):
        return
    from ocs.rules.triggers import is_unheard

    silent = [job_id for job_id, job in jobs.items() if job.enabled and is_unheard(job, jobs.values())]
    if not silent:
        yield Finding("failures", State.OK, "Somebody hears of every failure, or the job says that nobody has to.")
        return
    more = f" and {len(silent) - NAMED} more" if len(silent) > NAMED else ""
    said = f"Nobody hears when they fail: {', '.join(silent[:NAMED])}{more}."
    yield Finding("failures", State.WARNING, f"{said} One that may fail unheard says  deliver.when: never", TELL)


async def ongoing(store: Store) -> list[Finding]:
    """Incidents that go on."""
    found = await incident_views(store)
    findings = [
        Finding("incidents", State.WARNING, f"{each['job']} is {in_words(each)}.", f"ocs why {each['job']}")
        for each in found[:NAMED]
    ]
    if len(found) > NAMED:
        more = count_of(len(found) - NAMED, "further job")
        findings.append(Finding("incidents", State.WARNING, f"Not well: {more}.", "ocs status"))
    return findings


async def ping(store: Store) -> Finding:
    """Whether somebody outside is told that all is well, and was lately."""
    from ocs.store.figures import pinged_at

    told = await pinged_at(store)
    if told is None or (silent := session.now() - told) > FORGOTTEN:
        return Finding("ping", State.OK, "Nobody outside would notice its end: OCS_PING_URL names who is told.")
    said = f"Outside it was told that all is well, last at {local(told)}"
    if silent < LATELY:
        return Finding("ping", State.OK, f"{said}.")
    return Finding("ping", State.WARNING, f"{said}, and not since.", "Look into the worker's log, or start it: ocs up")


async def dead_letters(store: Store) -> Finding:
    """Messages that were given up."""
    from ocs.store import deliveries
    from ocs.store.tables_delivery import DeliveryStatus

    dead = [row for row in await deliveries.unsent(store) if row.status is DeliveryStatus.FAILED]
    if not dead:
        return Finding("deliveries", State.OK, "No message was given up.")
    told = f"Given up: {count_of(len(dead), 'message')} to {', '.join(sorted({row.target for row in dead}))}."
    newest = f"{told} The newest because: {dead[-1].last_error}"
    return Finding("deliveries", State.WARNING, newest, f"ocs queue list; ocs queue retry {str(dead[-1].id)[:8]}")


async def targets(client: PrefectClient) -> AsyncIterator[Finding]:
    """Whether the targets that the project's jobs name exist, and the gateway sees those that are its chats."""
    if session.has_project():
        async for unusable in unusable_targets(client, session.catalogue().jobs.values()):
            yield Finding("targets", State.WARNING, unusable.what, unusable.mend)
