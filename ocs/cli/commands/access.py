"""`ocs ui` and `ocs env`: getting in, in a browser and with stock Prefect."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from ocs.cli.render.output import Mode, answer, say, tell
from ocs.errors import Refused, ServerUnreachable
from ocs.service import session

if TYPE_CHECKING:
    from ocs.server import UpState


app = typer.Typer()


@app.command(epilog="Example:  ocs ui")
def ui() -> None:
    """Print a link that opens the UI without asking for the password: good once, for five minutes, and for you only."""
    session.reachable()
    up = session.embedded_at()
    link = _link(up) if up else session.ui_url()
    answer({"url": link}, lambda: say(str(link)))


@app.command(epilog="Example:  ocs env")
def env() -> None:
    """Print what stock `prefect` needs to reach what `ocs up` runs, the password too: eval "$(ocs env)"."""
    from ocs.server import is_open, password, running

    up = running()
    if up is None:
        raise ServerUnreachable("No embedded server is running here.", hint="Start one: ocs up --detach")
    said = password.of(up)
    exported = {"PREFECT_API_URL": up.api_url, **({password.CLIENT_AUTH: said} if said else {})}

    def people() -> None:
        for name, value in exported.items():
            say(f"export {name}={shlex.quote(value)}")

    answer({"env": exported}, people)
    if said is None and not Mode.json and not is_open(up.api_url):
        tell(f"Its password was set by hand; export it as {password.CLIENT_AUTH}.", style="yellow")


def _link(up: UpState) -> str:
    """The UI's address, with a code where the server asks for a password."""
    import httpx

    from ocs.server import is_open, password
    from ocs.server.sign_in import CODES, PAGE

    if is_open(up.api_url):
        return up.url
    user, _, rest = (password.of(up) or "").partition(":")
    try:
        answered = httpx.post(f"{up.url}{CODES}", auth=(user, rest), trust_env=False)
    except httpx.TransportError as lost:
        raise session.silent(up.api_url) from lost
    if not answered.is_success:
        hint = f"Set {password.CLIENT_AUTH} to what it was started with, or type that in: {up.url}"
        raise Refused(f"The server at {up.url} wants another password.", hint=hint)
    return f"{up.url}{PAGE}#{answered.text}"
