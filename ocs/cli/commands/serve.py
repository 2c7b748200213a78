"""`ocs up`, `down` and `worker`: running it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ocs import logs, projects, settings
from ocs.cli.ending import refuse_from_inside
from ocs.cli.render.output import Mode, answer, say, tell
from ocs.errors import OcsError, ServerUnreachable, UsageError
from ocs.logs import LogFormat
from ocs.rules.wording import count_of
from ocs.service import session

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue
    from deployments.rollout import Plan
    from ocs.server import UpState

MetricsOption = Annotated[str | None, typer.Option(help="Serve metrics for Prometheus here, such as 127.0.0.1:9464.")]
LogFormatOption = Annotated[LogFormat, typer.Option(help="How logs are written; json: a document a line.")]
TELL_EVERY = 5.0
LOOK_AGAIN = 0.2


app = typer.Typer()


@app.command(epilog="Example:  ocs up --detach --port 0")
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 4200,
    host: Annotated[str, typer.Option(help="Another than loopback needs a password of your choice.")] = "127.0.0.1",
    limit: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 50,
    metrics: MetricsOption = None,
    log_format: LogFormatOption = LogFormat.TEXT,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Ask for no password: any user of this machine may run commands as you.")
    ] = False,
) -> None:
    """Start a Prefect server of our own with a worker, and roll out the project one stands in."""
    from ocs.server import Config, mark_settled, start
    from ocs.server.config import AUTH

    logs.use(log_format)
    if no_auth and os.environ.get(AUTH):
        raise UsageError(f"{AUTH} sets a password, and --no-auth wants none.", hint=f"Leave one away: unset {AUTH}")
    found = _catalogue()
    _check_outward(metrics, "ocs up")
    config = Config(settings.home(), host, port, limit, auth=not no_auth, metrics=metrics)
    state = start(config, attached=not detach, on_wait=patience("Starting the server"))
    try:
        planned = _roll_out(found, state) if found else None
        _await_worker(state)
        mark_settled(config.home, state)
        _say_ready(state, planned, detach=detach, no_auth=no_auth)
        if not detach:
            _stay(state)
    except KeyboardInterrupt:
        _drain()


@app.command(epilog="Example:  ocs down")
def down(now: Annotated[bool, typer.Option("--now", help="End running jobs too.")] = False) -> None:
    """End what `ocs up` started, after its running jobs have ended."""
    from ocs.server import stop

    session.run(refuse_from_inside("ocs down"))
    ended = stop(now=now, on_wait=patience("Waiting for running jobs to end (ocs down --now ends them)"))

    def people() -> None:
        say(f"Ended the server at {ended.url}." if ended else "Nothing is running here.")
        if ended is not None and ended.service is not None:
            tell(
                f"It ran as the service {ended.service}, which starts it again with the machine or the next login."
                "  Now: ocs service restart   Never: ocs service remove",
                style="yellow",
            )

    answer({"ended": ended.url if ended else None, "service": ended.service if ended else None}, people)


@app.command(epilog="Example:  ocs worker --limit 20 --name second-host")
def worker(
    limit: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 50,
    name: Annotated[str | None, typer.Option(help="How it is called in the UI.")] = None,
    metrics: MetricsOption = None,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Run a worker against the server that PREFECT_API_URL names, until Ctrl-C."""
    logs.use(log_format)
    _check_outward(metrics, "ocs worker")
    os.environ["PREFECT_API_URL"] = session.reachable()

    async def check() -> None:
        async with session.server() as client:
            from deployments.rollout import ensure_block_types, ensure_work_pool

            await ensure_work_pool(client)
            await ensure_block_types(client)

    session.run(check())
    if session.has_project():
        found = session.catalogue()
        projects.remember(found.name, found.project)
    from ocs.worker.__main__ import work

    called = name or f"ocs-{socket.gethostname()}"
    tell(f"{called} works; Ctrl-C ends it after running jobs have ended, a second one ends them too.")
    session.run(work(settings.WORK_POOL, called, limit, metrics))
    answer({"worker": called}, lambda: tell(f"{called} has ended."))


def _check_outward(metrics: str | None, command: str) -> None:
    """Say now, and not in a log, what is wrong with the addresses of ping and metrics, a port that is taken too."""
    settings.ping_url()
    if metrics is None:
        return
    from ocs.server.listen import listen
    from ocs.worker.address import address_of

    address = address_of(metrics)
    listen(address.host, address.port, hint=f"Choose another: {command} --metrics 127.0.0.1:9465").close()


def _catalogue() -> Catalogue | None:
    """The project that one stands in. What starts with the machine goes on with what was rolled out before, whatever
    is wrong with the files now: nobody is there to be told, and the other jobs are to run."""
    if not session.has_project():
        return None
    found = session.catalogue()
    if settings.service() is None or not found.problems:
        return found.checked()
    for problem in found.problems:
        tell(str(problem), style="yellow")
    tell("Nothing is rolled out because of that; what was rolled out before goes on.", style="yellow")
    return None


def _roll_out(found: Catalogue, state: UpState) -> Plan | None:
    """Roll the project out; where that is refused, nothing is left running, unless it starts with the machine."""
    from deployments import prefect_yaml
    from ocs.cli.commands.deploy import roll_out
    from ocs.server import stop

    prefect_yaml.regenerate(found)
    tell(f"The server answers; rolling out {count_of(len(found.jobs), 'job')}.")
    try:
        return session.run(roll_out(found, api_url=state.api_url))
    except OcsError as refused:
        if settings.service() is not None:
            tell(f"Nothing was rolled out: {refused.message}  What was rolled out before goes on.", style="yellow")
            return None
        stop(now=True)
        raise


def _await_worker(state: UpState) -> None:
    """Nothing runs before there is a worker; one that does not come is told, and may still come."""
    from ocs.service.workers import wait_until_online

    def has_ended() -> bool:
        return not _still_runs(state)

    async def wait() -> bool:
        async with session.server(state.api_url) as client:
            since = datetime.fromisoformat(state.started_at)
            return await wait_until_online(client, since, has_ended, patience("Waiting for the worker"))

    with contextlib.suppress(ServerUnreachable):  # it has ended, or is started again
        if session.run(wait()):
            return
    if has_ended():
        raise OcsError("The server has ended before its worker was ready.", hint=f"See {settings.home()}/logs/up.log")
    tell(f"Its worker is not online yet, so nothing runs: see {settings.home()}/logs/worker.log", style="yellow")


def _say_ready(state: UpState, planned: Plan | None, *, detach: bool, no_auth: bool) -> None:
    from ocs.service.rollout import not_rolled_out

    server = {"url": state.url, "api_url": state.api_url, "port": state.port, "pid": state.pid}
    steps = planned.steps if planned else ()
    failed = not_rolled_out(planned) if planned else None

    def people() -> None:
        for problem in failed.problems if failed else ():
            tell(str(problem), style="yellow")
        say(f"Prefect UI:  {state.url}   (data in {settings.home()})", style="bold")
        if planned is not None:
            left = len(failed.problems) if failed else 0
            say(f"Rolled out {count_of(len(steps) - left, 'job')} of {planned.project}.")
        elif not session.has_project():
            say("No project here, so nothing was rolled out; make one with: ocs init")
        say("Open the UI with: ocs ui")
        say("End it with: ocs down" if detach else "Ctrl-C ends it, after running jobs have ended.")

    rolled_out = [step.job_id for step in steps if step.action not in ("remove", "over", "failed")]
    left_out = {step.job_id: step.why for step in steps if step.why}
    answer({"server": server, "rolled_out": rolled_out, "not_rolled_out": left_out}, people)
    if no_auth:
        tell(session.OPEN, style="yellow")
    other = os.environ.get("PREFECT_API_URL")
    if other and other != state.api_url:
        tell(f"PREFECT_API_URL is set: other ocs commands talk to {other}.", style="yellow")


def _still_runs(state: UpState) -> bool:
    from ocs.server import running

    return (found := running()) is not None and found.pid == state.pid


def _stay(state: UpState) -> None:
    """Wait until Ctrl-C or SIGTERM, or until somebody ends the server."""
    from ocs.server import ended_with

    signal.signal(signal.SIGTERM, _as_interrupt)
    while _still_runs(state):
        time.sleep(LOOK_AGAIN)
    if (status := ended_with(state)) not in (None, 0):
        raise OcsError(f"The server has ended by itself (status {status}).", hint=f"See {settings.home()}/logs/up.log")
    tell("The server has ended.")


def _drain() -> None:
    """End the server after its running runs; with them when asked again."""
    from ocs.server import stop

    signal.signal(signal.SIGTERM, _as_interrupt)
    from ocs.timing import timing

    within = timing().drain if settings.service() is not None else None
    tell("Ending, once running jobs have ended; Ctrl-C again ends them too.")
    try:
        stop(now=False, within=within, on_wait=patience("Waiting for running jobs to end"))
    except KeyboardInterrupt:
        stop(now=True)


def _as_interrupt(_signum: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def patience(what: str) -> Callable[[float], None]:
    """Tell people now and then that something is still going on."""
    told = 0.0

    def waited(seconds: float) -> None:
        nonlocal told
        if not Mode.json and seconds - told >= TELL_EVERY:
            told = seconds
            tell(f"{what} ... {seconds:.0f} s", style="dim")

    return waited
