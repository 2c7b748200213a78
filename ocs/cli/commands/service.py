"""`ocs service`: `ocs up` that starts with the machine, or with the login."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs import settings
from ocs.cli.commands.serve import MetricsOption, patience
from ocs.cli.ending import refuse_from_inside
from ocs.cli.render.output import Mode, answer, print_json, say, table, tell
from ocs.errors import Refused, ServerUnreachable
from ocs.service import session
from ocs.timing import seconds, timing

if TYPE_CHECKING:
    from ocs.server import UpState
    from ocs.server.boot import Manager, Service, Standing

app = typer.Typer()
LOOK_AGAIN = 0.3
SEE_WHY = "See why: ocs service logs"


@app.command(epilog="Example:  ocs service install --port 4200")
def install(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the UI is; 0 takes a free one each time.")] = 4200,
    host: Annotated[str, typer.Option(help="Another than loopback needs a password of your choice.")] = "127.0.0.1",
    limit: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 50,
    metrics: MetricsOption = None,
    print_only: Annotated[bool, typer.Option("--print", help="Show what would be written, and do nothing.")] = False,
) -> None:
    """Have `ocs up` of this home and project start with the machine, and start it now. Needs no root."""
    from ocs.server import boot, running

    service, manager = boot.of_this_home(port=port, limit=limit, host=host, metrics=metrics), boot.here()
    if print_only:
        _print(service, manager)
        return
    if session.has_project():
        session.catalogue().checked()
    up = running()
    if up is not None and up.service is None:
        raise Refused(f"A server runs here already, at {up.url}.", hint="End it first: ocs down")
    if up is not None:
        _end(now=False)
    manager.install(service)
    standing, up = manager.standing(service), _ready(service)
    view = {"service": _view(service, manager, standing), "url": up.url}

    def people() -> None:
        say(f"Installed {standing.file}, and started it.")
        say(f"Prefect UI:  {up.url}   (data in {service.home})", style="bold")
        _say_when(standing)
        say("See:  ocs service status, ocs service logs")

    answer(view, people)


@app.command(epilog="Example:  ocs service status")
def status() -> None:
    """Say whether the service is installed, starts by itself, and runs."""
    from ocs.server import boot, running

    service, manager = boot.of_this_home(), boot.here()
    standing, up = manager.standing(service), running()
    view = {"service": _view(service, manager, standing), "url": up.url if up else None}

    def people() -> None:
        rows = [
            ("Service", f"{service.name} ({manager.name})"),
            ("Installed", standing.file if standing.installed else "no; install it: ocs service install"),
            *((("Starts", standing.enabled), ("Now", standing.active)) if standing.installed else ()),
            ("Server", _server(up)),
        ]
        table(("", ""), rows)
        if standing.manager is not None:
            tell(standing.manager, style="yellow")
        elif standing.installed:
            _say_when(standing)

    answer(view, people)


@app.command(epilog="Example:  ocs service restart")
def restart(now: Annotated[bool, typer.Option("--now", help="End running jobs too.")] = False) -> None:
    """Start the service anew once its running jobs have ended, as after an upgrade: the store is brought up to date."""
    from ocs.server import boot

    session.run(refuse_from_inside("ocs service restart"))
    service, manager = boot.of_this_home(), boot.here()
    if (away := manager.standing(service).manager) is not None:
        raise Refused(away)
    _end(now=now)
    manager.restart(service)
    up = _ready(service)
    answer({"service": service.name, "url": up.url}, lambda: say(f"{service.name} runs again: {up.url}"))


@app.command(epilog="Example:  ocs service remove")
def remove(now: Annotated[bool, typer.Option("--now", help="End running jobs too.")] = False) -> None:
    """End the service once its running jobs have ended, and have it start no more. All data stays."""
    from ocs.server import boot

    session.run(refuse_from_inside("ocs service remove"))
    service, manager = boot.of_this_home(), boot.here()
    file = manager.file(service)
    if file.exists():
        _end(now=now)
    manager.remove(service)
    answer(
        {"service": service.name, "file": str(file)},
        lambda: say(f"Removed {file}; the data in {service.home} stays. Run it by hand: ocs up --detach"),
    )


@app.command(epilog="Example:  ocs service logs --follow")
def logs(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, max=100_000, help="How many lines.")] = 100,
) -> None:
    """Print what the service said; server and worker have their own logs in OCS_HOME/logs."""
    from ocs.server import boot

    service, manager = boot.of_this_home(), boot.here()
    command = manager.logs(service, count, follow=follow)
    if Mode.json:
        print_json({"ok": True, "command": command, "files": str(settings.home() / "logs")})
        return
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606


def _print(service: Service, manager: Manager) -> None:
    """A password that is in the environment is written, and not shown."""
    shown = service.shown()
    hidden = [name for name, value in service.environment.items() if shown.environment[name] != value]
    text, file = manager.text(shown), manager.file(service)

    def people() -> None:
        sys.stdout.write(text)
        tell(f"This would be written to {file}; nothing was.", style="dim")
        if hidden:
            tell(f"Not shown: {', '.join(hidden)}.", style="dim")

    answer({"file": str(file), "text": text, "command": list(service.command), "hidden": hidden}, people)


def _end(*, now: bool) -> None:
    """Here, with all the time that running jobs need: a service manager gives them little."""
    from ocs.server import stop

    stop(now=now, on_wait=patience("Waiting for running jobs to end (--now ends them)"))


def _ready(service: Service) -> UpState:
    """Wait until the server answers and the project is rolled out: a job may be run as soon as this is said."""
    from ocs.server import is_settled, running

    limit = timing().server_start
    began = time.monotonic()
    told = patience("Starting the server")
    answers: UpState | None = None
    while answers is not None or time.monotonic() - began < limit.total_seconds():
        up = running()
        if answers is not None and (up is None or up.pid != answers.pid):
            raise ServerUnreachable("It has ended again before the project was rolled out.", hint=SEE_WHY)
        if up is not None and up.service == service.name:
            if is_settled(service.home, up):
                return up
            answers = up  # however many jobs there are to roll out
        told(time.monotonic() - began)
        time.sleep(LOOK_AGAIN)
    raise ServerUnreachable(f"It was not ready after {seconds(limit)}.", hint=SEE_WHY)


def _say_when(standing: Standing) -> None:
    """Whether it starts before anybody logs in."""
    from ocs.server.boot import enable_linger

    if standing.with_machine is True:
        say("It starts with the machine.")
    elif standing.with_machine is False and sys.platform == "linux":
        tell(
            "It starts when you log in, and ends with your last session. To have it start with the machine, and go on"
            f" when nobody is logged in:  {enable_linger()}",
            style="yellow",
        )
    elif standing.with_machine is not None:
        say("It starts when you log in.")


def _server(up: UpState | None) -> str:
    if up is None:
        return "does not run"
    return f"{up.url}, {'as this service' if up.service else 'started by hand: ocs down ends it'}"


def _view(service: Service, manager: Manager, standing: Standing) -> dict[str, Any]:
    return {
        "name": service.name,
        "manager": manager.name,
        "problem": standing.manager,
        "file": str(standing.file),
        "installed": standing.installed,
        "enabled": standing.enabled,
        "active": standing.active,
        "pid": standing.pid,
        "starts_with_machine": standing.with_machine,
    }
