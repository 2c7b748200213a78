"""Changing a project: a file is written, and rolled out if a server is there. What is refused is taken back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocs.cli.person import person
from ocs.cli.render.output import answer, say, tell
from ocs.cli.render.views import job_view
from ocs.errors import OcsError, ServerUnreachable, StoreError
from ocs.rules.approval import values_by_path
from ocs.service import session

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue

NOT_ASKED = "--no-deploy was given."


def change(
    project: Path, job_id: str, verb: str, write: Callable[[], Catalogue], *, no_deploy: bool, resume: bool = False
) -> None:
    """Write, and roll out if a server is there. What the server refuses is taken back."""
    from deployments import catalogue, prefect_yaml

    path = catalogue.path_of(project, job_id)
    before = path.read_bytes() if path.exists() else None
    changed = write()
    prefect_yaml.regenerate(changed)
    why_not = NOT_ASKED
    if not no_deploy:
        try:
            why_not = unless_away(lambda: _roll_out(changed, job_id, resume=resume))
        except OcsError:
            path.unlink() if before is None else path.write_bytes(before)
            prefect_yaml.regenerate(catalogue.read(project))
            raise

    note(verb, job_id, before, path.read_bytes())

    def people() -> None:
        say(f"{verb} {job_id}" + (": it is written." if why_not else " and rolled it out."))
        if why_not:
            tell(f"Not rolled out: {why_not}  Do it with: ocs deploy (ocs up does it too)")

    answer({"job": job_view(changed.jobs[job_id], None, session.now()), "deployed": not why_not}, people)


def _roll_out(changed: Catalogue, job_id: str, *, resume: bool) -> None:
    """Roll the one job out.

    Raises:
        NotAllRolledOut: it was not taken, or would never run.
    """
    from ocs.cli.commands.deploy import not_rolled_out, roll_out

    if failed := not_rolled_out(session.run(roll_out(changed, [job_id], resume=resume))):
        raise failed


def note(verb: str, job_id: str, before: bytes | None, after: bytes | None) -> None:
    """Tell the audit trail who changed a job's file, and which values were others before."""
    was, now_is = _values(before), _values(after)
    differing = [path for path in {**was, **now_is} if was.get(path) != now_is.get(path)]
    if not differing:
        return

    async def told() -> None:
        from ocs.store import audit

        async with session.store() as store:
            await audit.tell(
                store,
                f"job-{verb.lower()}",
                job_id=job_id,
                by=person(),
                before={path: was[path] for path in differing if path in was},
                after={path: now_is[path] for path in differing if path in now_is},
            )

    try:
        session.run(told())
    except StoreError as away:
        tell(f"The audit trail does not have it: {away.message}", style="yellow")


def _values(text: bytes | None) -> dict[str, Any]:
    """The values of a job's file by path; none of one that is not there, or that nobody could read."""
    from deployments.catalogue import parse_text

    with contextlib.suppress(OcsError):
        written = parse_text(text.decode(errors="replace"), "") if text else {}
        return json.loads(json.dumps(values_by_path(written), default=str))
    return {}


def unless_away(work: Callable[[], object]) -> str:
    """Do it; returns why not, when no server answers."""
    try:
        work()
    except ServerUnreachable as away:
        return away.message
    return ""
