"""`ocs approvals`: what waits for a person's decision, and deciding it. The UI's Resume form does the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import SomeJob
from ocs.cli.person import Ear, person
from ocs.cli.render.output import answer, say, table
from ocs.rules.wording import SHORT, first_line, local
from ocs.service import reading, session
from ocs.service.records import approval_record, as_json

if TYPE_CHECKING:
    from ocs.store.tables import Approval

app = typer.Typer()
Given = Annotated[str, typer.Argument(help="The approval's id, or its beginning; or the job's id when only one waits.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; by default who is logged in.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; shown with the run.")]


@app.command("list", epilog="Example:  ocs approvals list --all --job deploy")
def list_approvals(
    job: SomeJob = None,
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many of the newest.")] = 100,
) -> None:
    """List what waits for a decision, oldest first."""

    async def found() -> list[Approval]:
        async with session.store() as store:
            return await reading.approvals(store, job=job, everything=everything, limit=count)

    views = [_view(request) for request in session.run(found())]

    def people() -> None:
        if not views:
            say("No approvals yet." if everything else "Nothing waits for a decision.")
            return
        rows = [
            (view["id"][:SHORT], view["job"], view["status"], local(view["requested_at"]), _until(view), _gist(view))
            for view in views
        ]
        table(("APPROVAL", "JOB", "STATUS", "ASKED", "UNTIL / BY", "WHAT"), rows)

    answer({"approvals": views}, people)


@app.command(epilog="Example:  ocs approvals show 3f2a9c1d")
def show(approval: Given) -> None:
    """Show what would run and why, until when, and what was decided."""

    async def found() -> Approval:
        from ocs.store.approvals import approval_by

        async with session.store() as store:
            return await approval_by(store, approval)

    view = _view(session.run(found()))
    answer({"approval": view}, lambda: _show(view))


@app.command(epilog="Example:  ocs approvals approve 3f2a9c1d --reason 'checked the plan'")
def approve(approval: Given, by: By = None, reason: Reason = None) -> None:
    """Let a waiting run go on, as exactly what is shown. The first decision counts."""
    _decide(approval, by, reason, approve=True)


@app.command(epilog="Example:  ocs approvals reject deploy --by ann --reason 'not on a Friday'")
def reject(approval: Given, by: By = None, reason: Reason = None) -> None:
    """End a waiting run: nothing of it is run, and its job's failure children follow. The first decision counts."""
    _decide(approval, by, reason, approve=False)


def _decide(given: str, by: str | None, reason: str | None, *, approve: bool) -> None:
    from ocs.service.deciding import decide

    async def decided() -> Approval:
        async with session.store() as store:
            return await decide(store, given, approve=approve, by=person(), listener=Ear(), name=by, reason=reason)

    view = _view(session.run(decided()))
    said = "Approved" if approve else "Rejected"
    answer({"approval": view}, lambda: say(f"{said} run {view['run'][:SHORT]} of {view['job']}."))


def _view(request: Approval) -> dict[str, Any]:
    return as_json(approval_record(request))


def _show(view: dict[str, Any]) -> None:
    decided = [view["decided_by"], f"from {view['decided_from']}", local(view["decided_at"])]
    rows = [
        ("approval", view["id"]),
        ("job", view["job"]),
        ("run", view["run"]),
        ("status", view["status"]),
        ("it runs", view["why"]),
        ("changed for this run", ", ".join(view["changed"])),
        ("asked", local(view["requested_at"])),
        ("until", f"{local(view['expires_at'])}, then {view['on_timeout']}"),
        ("decided", ", ".join(part for part in decided if part) if view["decided_by"] else ""),
        ("reason", view["reason"]),
        ("in the UI", view["ui_url"]),
    ]
    table(("", ""), [row for row in rows if row[1]])
    say("\nWhat runs", style="bold")
    say(view["what"])
    if view["status"] == "pending":
        short = view["id"][:SHORT]
        say(f"\nDecide:  ocs approvals approve {short}   or   ocs approvals reject {short} --reason '...'")


def _until(view: dict[str, Any]) -> str:
    if view["status"] == "pending":
        return local(view["expires_at"])
    return view["decided_by"] or ""


def _gist(view: dict[str, Any]) -> str:
    commands = [line for line in view["what"].splitlines() if not line.startswith("# ")]
    return first_line("\n".join(commands), 50)
