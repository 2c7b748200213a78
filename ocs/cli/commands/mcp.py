"""`ocs mcp`: the door for agents, over standard input and output or over HTTP on this machine."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from ocs.cli.render.output import answer, say
from ocs.errors import Unusable, UsageError
from ocs.rules.messages import checked_name
from ocs.rules.scopes import Scope, scopes_of
from ocs.service import session

EXTRA = "pipx install 'prefect-openclaw[mcp]'"
NAME = "Who calls: the audit trail has it, and results of its tasks go to its inbox. By default who is logged in."
MAY = f"What it may do, with commas between: {', '.join(Scope)}. By default all."
HTTP = "Serve over HTTP at this address of this machine instead (127.0.0.1:8377); each caller presents a token."

app = typer.Typer(invoke_without_command=True)


@app.callback(epilog="Example:  ocs mcp --name research --may read,dispatch")
def mcp(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help=NAME)] = None,
    may: Annotated[str | None, typer.Option(help=MAY)] = None,
    http: Annotated[str | None, typer.Option(help=HTTP)] = None,
) -> None:
    """Serve the tools of an MCP server to an agent over standard input and output, until the input ends."""
    if context.invoked_subcommand is not None:
        if name or may or http:
            raise UsageError("--name, --may and --http are of the server; a command after them has its own.")
        return
    if http is not None and (name or may):
        raise UsageError("Over HTTP the token says who calls and what it may do; leave --name and --may away.")
    who = checked_name("name", name) if name is not None else session.user()
    scopes = scopes_of(may) if may is not None else frozenset(Scope)
    _need_the_extra()
    if http is not None:
        _serve_http(http)
        return
    from ocs.mcp.caller import Caller, calls
    from ocs.mcp.door import Door
    from ocs.mcp.offers import OFFERS

    calls(Caller(who, scopes))
    session.run(Door(OFFERS).serve_stdio())


def _serve_http(address: str) -> None:
    from ocs.mcp.door import Door
    from ocs.mcp.http import address_of, serve
    from ocs.mcp.offers import OFFERS

    def told(url: str) -> None:
        answer({"url": url}, lambda: say(f"Serving at {url}; Ctrl-C ends it.  A token: ocs mcp token create"))

    session.run(serve(Door(OFFERS), *address_of(address), told))


def _need_the_extra() -> None:
    try:
        import_module("mcp.server")
    except ModuleNotFoundError as missing:
        said = f"The door for agents needs the package {missing.name}, which is not installed here."
        raise Unusable(said, hint=EXTRA) from missing
