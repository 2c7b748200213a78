"""`ocs doctor`: everything that can be wrong with this installation, each with the command that mends it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer

from ocs.cli.care import Yes, agreed
from ocs.cli.doctor import delivery, live, others, permissions, project, timetable
from ocs.cli.doctor.project import Finding, State, failure
from ocs.cli.render.output import Mode, answer, fail, say, table
from ocs.errors import OcsError
from ocs.rules.wording import count_of
from ocs.service import session

ON_THIS_MACHINE: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": project.versions,
    "home": project.home,
    "data": project.data,
    "store file": project.store_file,
    "password": project.password_file,
    "files": permissions.files,
    "project files": permissions.project_files,
    "history": project.prefect_file,
    "gateway": project.gateway,
    "project": project.job_files,
    "schema": project.schema,
    "failures": delivery.unheard,
    "extensions": project.extensions,
    "others": others.others,
    "server": live.embedded_server,
}
WITH_OTHERS: dict[str, Callable[[], AsyncIterator[Finding]]] = {
    "store": live.store_content,
    "server": live.server,
    "schedules": timetable.schedules,
}
PASSWORD = re.compile(r"(?<=://)\S*@")
"""What stands before the host in an address, which errors repeat as it was given."""


class ProblemsFound(OcsError):
    """There are problems."""

    code = "unwell"


app = typer.Typer()


@app.command(epilog="Example:  ocs doctor --fix")
def doctor(
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended without a risk; asks for each at a terminal.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Examine everything: versions, data, store, server, workers, jobs. Ends with status 1 when there is a problem."""
    found = [finding for name, check in ON_THIS_MACHINE.items() for finding in _safely(name, check)]
    found += session.run(_with_others())
    found = [_bare(_mended(finding, yes=yes) if fix else finding) for finding in found]
    found.sort(key=lambda finding: list(State).index(finding.state))
    left = [finding for finding in found if not finding.fixed]
    shown = {"checks": [_view(finding) for finding in found]}
    _tell(found)
    said = _sentence(left)
    if any(finding.state is State.PROBLEM for finding in left):
        raise typer.Exit(fail(ProblemsFound(said), shown))
    answer(shown, lambda: say(said))


def _mended(finding: Finding, *, yes: bool) -> Finding:
    if finding.fix is None or not agreed(f"{_bare(finding).finding}  Mend it?", yes=yes):
        return finding
    try:
        finding.fix()
    except Exception as failed:  # the others are still mended
        return replace(finding, finding=f"{finding.finding} It could not be mended: {failed}")
    return replace(finding, fixed=True)


def _bare(finding: Finding) -> Finding:
    """The finding without the passwords of addresses."""
    mend = PASSWORD.sub("", finding.mend) if finding.mend else None
    return replace(finding, finding=PASSWORD.sub("", finding.finding), mend=mend)


def _view(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.check,
        "state": str(finding.state),
        "finding": finding.finding,
        "mend": finding.mend,
        "fixed": finding.fixed,
    }


def _tell(found: list[Finding]) -> None:
    """The table, which goes before the sentence in either case."""
    if Mode.json:
        return
    rows = [
        ("fixed", finding.check, finding.finding, "")
        if finding.fixed
        else (finding.state, finding.check, finding.finding, finding.mend)
        for finding in found
    ]
    table(("", "CHECK", "FINDING", "MEND"), rows)


def _sentence(left: list[Finding]) -> str:
    problems = sum(finding.state is State.PROBLEM for finding in left)
    warnings = sum(finding.state is State.WARNING for finding in left)
    counted = [count_of(number, thing) for number, thing in ((problems, "problem"), (warnings, "warning")) if number]
    return f"{', '.join(counted)}." if counted else "All well."


def _safely(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What a check finds; one that fails is a finding."""
    found: list[Finding] = []
    try:
        found.extend(check())
    except Exception as failed:  # whatever is wrong here, the rest is examined
        found.append(failure(name, failed))
    return found


async def _with_others() -> list[Finding]:
    found: list[Finding] = []
    for name, check in WITH_OTHERS.items():
        try:
            async for finding in check():
                found.append(finding)  # noqa: PERF401  what came before a failure is kept
        except Exception as failed:  # whatever is wrong here, the rest is examined
            found.append(failure(name, failed))
    return found
