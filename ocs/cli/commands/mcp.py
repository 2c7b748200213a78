"""`ocs mcp`: the door for agents, over standard input and output."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from ocs.errors import Unusable
from ocs.rules.messages import checked_name
from ocs.rules.scopes import Scope, scopes_of
from ocs.service import session

EXTRA = "pipx install 'prefect-openclaw[mcp]'"
NAME = "Who calls: the audit trail has it, and results of its tasks go to its inbox. By default who is logged in."
MAY = f"What it may do, with commas between: {', '.join(Scope)}. By default all."

app = typer.Typer()


@app.command(epilog="Example:  ocs mcp --name research --may read,dispatch")
def mcp(
    name: Annotated[str | None, typer.Option(help=NAME)] = None,
    may: Annotated[str | None, typer.Option(help=MAY)] = None,
) -> None:
    """Serve the tools of an MCP server to an agent over standard input and output, until the input ends."""
    who = checked_name("name", name) if name is not None else session.user()
    scopes = scopes_of(may) if may is not None else frozenset(Scope)
    _need_the_extra()
    from ocs.mcp.caller import Caller, calls
    from ocs.mcp.door import Door
    from ocs.mcp.offers import OFFERS

    calls(Caller(who, scopes))
    session.run(Door(OFFERS).serve_stdio())


def _need_the_extra() -> None:
    try:
        import_module("mcp.server")
    except ModuleNotFoundError as missing:
        said = f"The door for agents needs the package {missing.name}, which is not installed here."
        raise Unusable(said, hint=EXTRA) from missing
