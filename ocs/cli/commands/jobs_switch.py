"""`ocs jobs switch`: from another scheduler to this one. What that one has run is not repeated, what it owes is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

import typer

from ocs.cli import importing
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, tell
from ocs.errors import NotFound, OcsError, Problem
from ocs.rules.wording import count_of, local
from ocs.service import session

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue
    from deployments.importing.foreign import Source
    from deployments.importing.twins import Twin
    from ocs.rules.attribution import Attribution
    from ocs.spec import Job
    from ocs.store import PendingDispatch, Store
    from ocs.store.carried import CarriedDispatch, CarriedKey

NAMED = 5


class StillThere(OcsError):
    """The other scheduler still has the jobs, or is at work on one of them."""

    code = "still_there"


@dataclass
class Carried:
    """What came over: keys of what was had, dispatches that waited, occurrences that were owed."""

    keys: int = 0
    dispatches: list[PendingDispatch] = field(default_factory=list["PendingDispatch"])
    owed: list[PendingDispatch] = field(default_factory=list["PendingDispatch"])


app = typer.Typer()


@app.command(epilog="Example:  ocs jobs switch openclaw-scheduler")
def switch(
    program: Annotated[str, typer.Argument(help="From which: crontab, openclaw-scheduler or openclaw.")],
    place: Annotated[
        Path | None, typer.Argument(help="Its file, as it was imported; by default the usual one.")
    ] = None,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="It runs no more, though its file still says that the jobs are on.")
    ] = False,
) -> None:
    """Enable the jobs that were imported from another scheduler, once that one has let go of them.

    As long as it has them, the command says how to stop them there, and changes nothing: it never touches the other
    program itself. What fell due in between is run now, once. Again, it only carries over what is new.
    """
    from deployments.importing import twins

    source = importing.read(program, place)
    found = session.catalogue().checked()
    jobs = twins.taken_over(source, found.jobs.values())
    if not jobs:
        raise NotFound(f"No job of this project is from {program}.", hint=f"Import them: ocs jobs import {program}")
    jobs = _from_there(source, jobs, stopped=stopped)
    chosen = {job.id for job in jobs}
    pairs = [twin for twin in twins.twins(source, found.jobs.values()) if twin.job.id in chosen]
    stop = twins.how_to_stop(source, pairs) if any(twin.is_begun_there for twin in pairs) else None
    if not stopped:
        _refuse_both(source, pairs, stop)
    targets = importing.make_targets(source.addresses)
    carried = session.run(_switched(found, source, jobs, pairs))
    _tell(source, [job for job in jobs if not job.enabled], targets, carried, stop)


def _from_there(source: Source, jobs: Sequence[Job], *, stopped: bool) -> list[Job]:
    """Without those that came from elsewhere, which may still run them.

    Raises:
        StillThere: none is from there, or of some it is not known whether the source that they came from lacks them.
    """
    from deployments.crontab_jobs import place_of
    from deployments.importing.twins import is_from

    had = {found.source_id for found in source.jobs}
    there = {job.id for job in jobs if had & {job.id, *job.aliases}}
    ours = [job for job in jobs if job.enabled or job.id in there or is_from(source, job) is not False]
    if not ours:
        places = sorted({place_of(job.origin or "") or "" for job in jobs})[:NAMED]
        commands = "".join(f"\n  {importing.switch_command(replace(source, where=place))}" for place in places)
        raise StillThere(
            f"No job of this project came from {source.where}; nothing was changed. "
            f"Name where they came from:{commands}"
        )
    unknown = [job.id for job in ours if not job.enabled and job.id not in there and is_from(source, job) is None]
    if unknown and not stopped:
        named = ", ".join(unknown[:NAMED]) + (" and others" if len(unknown) > NAMED else "")
        raise StillThere(
            f"{source.where} does not have {count_of(len(unknown), 'job')} ({named}), and it is not known that they "
            "came from there; nothing was changed.",
            hint="Name the file they came from. If nothing runs them any more, say so: --stopped",
        )
    return ours


def _refuse_both(source: Source, pairs: Sequence[Twin], stop: str | None) -> None:
    """Refuse as long as the other one may begin a job, or has begun one.

    Raises:
        StillThere: it may, or it has.
    """
    if stop is not None:
        begun = [twin for twin in pairs if twin.is_begun_there]
        named = ", ".join(twin.job.id for twin in begun[:NAMED]) + (" and others" if len(begun) > NAMED else "")
        raise StillThere(
            f"{source.program} still runs {count_of(len(begun), 'job')} ({named}); nothing was changed. "
            f"Stop them there, then switch:\n  {stop}\n  {importing.switch_command(source)}",
            hint="If it runs no more, say so: --stopped",
        )
    ids = {twin.found.source_id: twin.job.id for twin in pairs}
    problems = [
        Problem("", f"{twin.job.id}: {twin.found.standing.busy}") for twin in pairs if twin.found.standing.busy
    ] + [
        Problem("", f"{ids[each.source_id]}: a {each.kind} dispatch waits for {local(each.scheduled_for)}")
        for each in source.waiting
        if each.is_taken and each.source_id in ids
    ]
    if problems:
        hint = "Wait until that has ended, or say that it runs no more: --stopped"
        raise StillThere(f"{source.program} is still at work; nothing was changed.", hint=hint, problems=problems)


async def _switched(found: Catalogue, source: Source, jobs: Sequence[Job], pairs: Sequence[Twin]) -> Carried:
    """First the keys, so that nothing is run again; then the jobs are on; then what is owed."""
    from deployments import catalogue
    from deployments.importing.write import enable
    from ocs.cli.commands.deploy import roll_out
    from ocs.service.rollout import not_rolled_out
    from ocs.store import audit
    from ocs.store.carried import carry_keys
    from tasks.adapter.publish import publish

    ids = [job.id for job in jobs]
    off = [job.id for job in jobs if not job.enabled]
    by = replace(person(), source=source.program)
    async with session.store() as store:
        carried = Carried(await carry_keys(store, _keys(source, pairs), by=by))
        # One-shots whose moment is past are only taken as jobs that are off.
        if failed := not_rolled_out(await roll_out(found, ids)):
            raise failed
        enable(found, off)
        if failed := not_rolled_out(await roll_out(catalogue.read(found.project), ids, resume=bool(off))):
            raise failed
        for job_id in off:
            now_is = {"enabled": True, "from": source.program}
            await audit.append(store, "job-enabled", job_id=job_id, before={"enabled": False}, after=now_is, by=by)
        await _carry(store, source, pairs, carried, by)
        async with session.server() as client:
            await publish(client, store, [*carried.dispatches, *carried.owed])
    return carried


async def _carry(store: Store, source: Source, pairs: Sequence[Twin], carried: Carried, by: Attribution) -> None:
    from deployments.importing.twins import owed
    from ocs.rules.misfire import CatchUp
    from ocs.store.carried import carry_dispatches
    from ocs.store.occurrences import dispatch_missed

    carried.dispatches = await carry_dispatches(store, _dispatches(source, pairs), by=by)
    had = {(each.source_id, each.due) for each in source.had}
    for twin in pairs:
        due = owed(twin, by.now)
        standing = twin.found.standing.due
        if due is None or {(twin.found.source_id, due), (twin.found.source_id, standing)} & had:
            continue
        carried.owed += await dispatch_missed(store, twin.job.id, CatchUp((due,)), by.now)


def _keys(source: Source, pairs: Sequence[Twin]) -> list[CarriedKey]:
    from ocs.rules.dispatch import Dispatch, DispatchKind
    from ocs.rules.idempotency import key_for
    from ocs.store.carried import CarriedKey

    ids = {twin.found.source_id: twin.job.id for twin in pairs}
    return [
        CarriedKey(
            key_for(ids[had.source_id], Dispatch(DispatchKind.SCHEDULED, had.due), uuid4()),
            ids[had.source_id],
            _uuid(source, had.run_id),
            had.claimed_at,
            had.expires_at,
        )
        for had in source.had
        if had.source_id in ids
    ]


def _dispatches(source: Source, pairs: Sequence[Twin]) -> list[CarriedDispatch]:
    from ocs.store.carried import CarriedDispatch

    ids = {twin.found.source_id: twin.job.id for twin in pairs}
    return [
        CarriedDispatch(
            _uuid(source, each.id),
            ids[each.source_id],
            each.kind,
            each.scheduled_for,
            _uuid(source, each.source_run) if each.source_run else None,
            _uuid(source, each.retry_of) if each.retry_of else None,
            each.attempt,
        )
        for each in source.waiting
        if each.source_id in ids
    ]


def _uuid(source: Source, given: str) -> UUID:
    """An id of the other program, or one that is always made of it."""
    try:
        return UUID(given)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"{source.program}:{given}")


def _tell(
    source: Source, enabled: Sequence[Job], targets: Sequence[dict[str, Any]], carried: Carried, stop: str | None
) -> None:
    owed = [{"job": each.job_id, "due": each.scheduled_for} for each in carried.owed]

    def people() -> None:
        importing.tell_targets(targets)
        say(
            f"Enabled {count_of(len(enabled), 'job')} of {source.program}."
            if enabled
            else "All of them are on already."
        )
        if carried.keys:
            say(f"Carried over: {count_of(carried.keys, 'occurrence')} that it has run, which are not run again.")
        if carried.dispatches:
            say(f"Carried over: {count_of(len(carried.dispatches), 'dispatch')} that waited there.")
        for each in carried.owed:
            say(f"Runs now: {each.job_id}, due at {local(each.scheduled_for)}.")
        if stop:
            tell(f"It must not start again with these jobs. Take them away from it:\n  {stop}", style="yellow")

    payload = {
        "program": source.program,
        "enabled": [job.id for job in enabled],
        "carried": {"keys": carried.keys, "dispatches": [str(each.id) for each in carried.dispatches], "owed": owed},
        "targets": list(targets),
        "stop": stop,
    }
    answer(payload, people)
