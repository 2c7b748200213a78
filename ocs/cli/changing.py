"""Changing a project: a file is written, and rolled out if a server is there. What is refused is taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ocs.cli import session
from ocs.cli.output import answer, say, tell
from ocs.cli.views import job_view
from ocs.errors import OcsError, ServerUnreachable

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
        from ocs.cli.rollout import roll_out

        try:
            why_not = unless_away(lambda: session.run(roll_out(changed, [job_id], resume=resume)))
        except OcsError:
            path.unlink() if before is None else path.write_bytes(before)
            prefect_yaml.regenerate(catalogue.read(project))
            raise

    def people() -> None:
        say(f"{verb} {job_id}" + (": it is written." if why_not else " and rolled it out."))
        if why_not:
            tell(f"Not rolled out: {why_not}  Do it with: ocs deploy (ocs up does it too)")

    answer({"job": job_view(changed.jobs[job_id], None, session.now()), "deployed": not why_not}, people)


def unless_away(work: Callable[[], object]) -> str:
    """Do it; returns why not, when no server answers."""
    try:
        work()
    except ServerUnreachable as away:
        return away.message
    return ""
