"""`ocs proposals`: job documents of agents, on which a person decides."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs import settings
from ocs.cli.arguments import NoDeploy, ProposalId
from ocs.cli.care import Yes, ask
from ocs.cli.changing import tell_changed
from ocs.cli.person import Ear, person
from ocs.cli.render.difference import show_diff
from ocs.cli.render.output import Mode, answer, say, table, tell
from ocs.errors import Refused
from ocs.rules.plain_text import revealed
from ocs.rules.wording import SHORT, first_line, local
from ocs.service import session
from ocs.service.records import as_json

if TYPE_CHECKING:
    from ocs.service.changing import Changed
    from ocs.service.proposals import Proposal

app = typer.Typer()
Reason = Annotated[str, typer.Option(help="Why; who proposed it reads this.")]


@app.command("list", epilog="Example:  ocs proposals list --all")
def list_proposals(
    everything: Annotated[bool, typer.Option("--all", help="What was decided, too.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many.")] = 50,
) -> None:
    """List jobs that agents have proposed, newest first: nothing of them runs until you accept it."""

    async def found() -> list[Proposal]:
        from ocs.service import proposals

        async with session.store() as store:
            return await proposals.listed(store, everything=everything, limit=count)

    views = [as_json(proposal) for proposal in session.run(found())]

    def people() -> None:
        if not views:
            say("Nothing is proposed." if everything else "Nothing is proposed that nobody has decided on.")
            return
        rows = [
            (
                view["id"][:SHORT],
                view["job"],
                view["kind"],
                view["status"],
                view["proposed_by"],
                local(view["created_at"]),
                first_line(" ".join(view["remarks"]) or view["why"]),
            )
            for view in views
        ]
        table(("PROPOSAL", "JOB", "KIND", "STATUS", "BY", "MADE", ""), rows, spare=("", "KIND", "MADE"))

    answer({"proposals": views}, people)


@app.command(epilog="Example:  ocs proposals show 3f2a9c1d")
def show(proposal: ProposalId) -> None:
    """Show what a proposal would change, who made it and why, and what you should know before you decide."""
    found = session.run(_one(proposal))
    answer({"proposal": as_json(found)}, lambda: _show(found))


@app.command(epilog="Example:  ocs proposals accept 3f2a9c1d")
def accept(proposal: ProposalId, reason: Reason = "", yes: Yes = False, no_deploy: NoDeploy = False) -> None:
    """Accept a proposal: it becomes the job's file, as it is shown, and is rolled out. The first decision counts."""
    found = session.run(_one(proposal))
    if yes or Mode.json or not sys.stdin.isatty():
        _has_seen(found, proposal)
    else:
        _show(found, decide=False)
    ask(f"Write this as {found.job}.yaml?", yes=yes)

    async def accepted() -> Changed:
        from ocs.service import proposals

        async with session.store() as store:
            return await proposals.accept(
                store, settings.project_dir(), str(found.id), reason, deploy=not no_deploy, by=person(), listener=Ear()
            )

    tell_changed("Accepted", session.run(accepted()))


@app.command(epilog="Example:  ocs proposals reject 3f2a9c1d --reason 'not at night'")
def reject(proposal: ProposalId, reason: Reason = "") -> None:
    """Reject a proposal: nothing comes of it. The first decision counts."""

    async def rejected() -> Proposal:
        from ocs.service import proposals

        async with session.store() as store:
            return await proposals.reject(store, proposal, reason, by=person())

    found = session.run(rejected())
    answer({"proposal": as_json(found)}, lambda: say(f"Rejected {str(found.id)[:SHORT]} for {found.job}."))


def _has_seen(found: Proposal, given: str) -> None:
    """A job's name means whatever is proposed for it by now; an id means what was shown under it."""
    if not found.id.hex.startswith(given.strip().lower().replace("-", "")):
        hint = f"Look, and name it: ocs proposals accept {str(found.id)[:SHORT]}"
        raise Refused(f'"{given}" is a job, and what is proposed for it may not be what you have seen.', hint=hint)


async def _one(given: str) -> Proposal:
    from ocs.service import proposals

    async with session.store() as store:
        return await proposals.one(store, given)


def _show(found: Proposal, *, decide: bool = True) -> None:
    view: dict[str, Any] = as_json(found)
    rows = [
        ("proposal", view["id"]),
        ("job", f"{found.job} ({'a new one' if found.kind == 'new' else 'its file is changed'})"),
        ("project", found.project),
        ("status", found.status),
        ("by", f"{found.proposed_by}, {local(found.created_at)}"),
        ("why", revealed(found.why)),
        (
            "decided",
            f"{found.decided_by} from {found.decided_from}, {local(found.decided_at)}" if found.decided_by else "",
        ),
        ("reason", found.reason),
    ]
    table(("", ""), [row for row in rows if row[1]])
    say("")
    show_diff(found.diff)
    for remark in found.remarks:
        tell(remark, style="yellow")
    if decide and found.status == "open":
        short = str(found.id)[:SHORT]
        say(f"\nDecide:  ocs proposals accept {short}   or   ocs proposals reject {short} --reason '...'")
