"""`ocs mcp token`: who may use the door for agents over HTTP, and what each may do."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ocs.cli.arguments import CallerName
from ocs.cli.person import person
from ocs.cli.render.output import answer, say, table, tell
from ocs.rules.scopes import Scope, scopes_of
from ocs.rules.wording import local
from ocs.service import session, tokens
from ocs.service.tokens import Token

app = typer.Typer()
MAY = f"What it may do, with commas between: {', '.join(Scope)}."


@app.command(epilog="Example:  ocs mcp token create --name research --may read,dispatch")
def create(
    name: Annotated[str, typer.Option(help="Who calls with it: the audit trail has that name.")],
    may: Annotated[str, typer.Option(help=MAY)],
) -> None:
    """Make a token for a caller of ocs mcp --http, and show it: this once, for only its digest is kept."""
    scopes = scopes_of(may)

    async def made() -> tuple[Token, str]:
        async with session.store() as store:
            return await tokens.create(store, name, scopes, by=person())

    token, said = session.run(made())

    def people() -> None:
        say(said)
        tell(f"{token.name} may {', '.join(token.may)} with it. It is not shown again.")

    answer({"token": said, **_view(token)}, people)


@app.command("list", epilog="Example:  ocs mcp token list")
def list_tokens() -> None:
    """List who has a token, and what each may do."""

    async def found() -> list[Token]:
        async with session.store() as store:
            return await tokens.all_tokens(store)

    views = [_view(token) for token in session.run(found())]

    def people() -> None:
        if not views:
            say("Nobody has a token.  Make one: ocs mcp token create --name research --may read")
            return
        rows = [(view["name"], ", ".join(view["may"]), view["created_by"], local(view["created_at"])) for view in views]
        table(("NAME", "MAY", "BY", "MADE"), rows)

    answer({"tokens": views}, people)


@app.command(epilog="Example:  ocs mcp token revoke research")
def revoke(name: CallerName) -> None:
    """Revoke a caller's token: its next call is refused, also one of a session that is open."""

    async def revoked() -> None:
        async with session.store() as store:
            await tokens.revoke(store, name, by=person())

    session.run(revoked())
    answer({"name": name, "revoked": True}, lambda: say(f"The token of {name} is refused from now on."))


def _view(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "may": list(token.may),
        "created_by": token.created_by,
        "created_at": token.created_at,
    }
