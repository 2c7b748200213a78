"""What commands on other schedulers share: reading one by its name, its targets, and telling what becomes of what."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from shlex import quote
from typing import IO, TYPE_CHECKING, Annotated, Any, cast
from uuid import UUID

import typer

from ocs import settings
from ocs.cli.commands.jobs import read_text
from ocs.cli.person import person
from ocs.cli.render.output import say, tell
from ocs.errors import NotFound, ServerUnreachable, UsageError
from ocs.service import session

if TYPE_CHECKING:
    from blocks.target import DeliveryTarget
    from deployments.importing.foreign import Address, Source

CRONTAB, SCHEDULER, OPENCLAW = "crontab", "openclaw-scheduler", "openclaw"
CRONTAB_SECONDS = 10.0
CRONTAB_BYTES = 1_000_000
PROGRAMS = (CRONTAB, SCHEDULER, OPENCLAW)
FOR_YOU_ONLY = "others cannot read {where}; so they cannot read the job files made of it, and prefect.yaml, either"
Disabled = Annotated[
    bool, typer.Option("--disabled", help="All of them wait until you switch over, which is so in any case.")
]


def read(program: str, place: Path | None, timezone: str | None = None) -> Source:
    """The jobs of another scheduler, from the usual place when none is named; of a crontab those that are jobs here.

    Raises:
        UsageError: no such scheduler is known.
        NotFound: there are none.
        InvalidJob: they cannot be read.
    """
    from deployments.importing import automations, crontab_lines, scheduler

    if place is not None:
        _look(place)
    match program:
        case "crontab":
            text = read_text(str(place)) if place else own_crontab()
            jobs = session.catalogue().jobs.values()
            return crontab_lines.read(text, str(place or crontab_lines.OWN), jobs, timezone or local_zone())
        case "openclaw-scheduler":
            return scheduler.read(place or scheduler.place(), session.now())
        case "openclaw":
            return automations.read(place or automations.place(), timezone or local_zone())
        case _:
            raise UsageError(f'"{program}" is no scheduler that is known here.', hint=f"Known: {', '.join(PROGRAMS)}")


def _look(place: Path) -> None:
    """Raise NotFound when there is nothing of that name, or no such name can be."""
    try:
        place.stat()
    except OSError as failed:
        raise NotFound(f"{place} cannot be read: {failed.strerror}.") from failed
    except ValueError as wrong:  # a name with a NUL in it
        raise NotFound(f"{place} cannot be read: {wrong}.") from wrong


def own_crontab() -> str:
    """What `crontab -l` says.

    Raises:
        NotFound: there is no such program, or no crontab.
        InvalidJob: it does not end, says more than a file may hold, or no text.
    """
    from deployments.reading import decoded, unreadable

    program = shutil.which("crontab")
    if program is None:
        raise NotFound("There is no program crontab on this machine.", hint="Name a file instead.")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        code = _ended(program, out, err)
        out.seek(0)
        err.seek(0)
        text, why = out.read(CRONTAB_BYTES + 1), err.read(1000).decode("utf-8", errors="replace").strip()
    if code is None or len(text) > CRONTAB_BYTES:
        why = f"does not end within {CRONTAB_SECONDS:.0f} s, or says more than {CRONTAB_BYTES:,} bytes"
        raise unreadable("crontab -l", why)
    if code != 0:
        raise NotFound(f"crontab -l: {why}", hint="Is there a crontab of yours?")
    return decoded(text, "crontab -l")


def _ended(program: str, out: IO[bytes], err: IO[bytes]) -> int | None:
    """How `crontab -l` ended; none when it was killed, since it took too long or said too much.

    However this ends, by Ctrl-C too, nothing of its group runs on.
    """
    ends = time.monotonic() + CRONTAB_SECONDS
    running = subprocess.Popen(
        [program, "-l"], stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
    )
    try:
        while time.monotonic() < ends and max(os.fstat(each.fileno()).st_size for each in (out, err)) <= CRONTAB_BYTES:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return running.wait(timeout=0.05)
        return None
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def make_targets(addresses: Sequence[Address], *, dry_run: bool = False) -> list[dict[str, Any]]:
    """Make the targets that the jobs name, where a server runs; one of that name that is there stays as it is."""
    if not addresses:
        return []
    states: dict[str, str] = {}
    if settings.api_url() is not None:
        try:
            states = session.run(_made(addresses, dry_run=dry_run))
        except ServerUnreachable as away:
            tell(away.message)
    return [{"name": each.name, "where": each.where, "state": states.get(each.name, "not made")} for each in addresses]


def tell_targets(targets: Sequence[dict[str, Any]]) -> None:
    """What became of them, and what to type for those that are not made."""
    for target in targets:
        match target["state"]:
            case "not made":
                how = f"--to {target['where']}" if "//" not in target["where"] else "--webhook -"
                tell(
                    f"Target {target['name']}: no server runs, so make it later: ocs targets add {target['name']} {how}"
                )
            case "no address":
                how = f"ocs targets add {target['name']} --webhook -"
                tell(
                    f"Target {target['name']}: nothing can be sent to its address. Left out; add it: {how}",
                    style="yellow",
                )
            case "elsewhere":
                there = f"it would go to {target['where']}"
                tell(
                    f"Target {target['name']}: there is one already, and {there}. It was left as it is.", style="yellow"
                )
            case state:
                say(f"Target {target['name']} ({target['where']}): {state}")


async def _made(addresses: Sequence[Address], *, dry_run: bool) -> dict[str, str]:
    from pydantic import ValidationError

    from blocks.targets import all_targets

    states: dict[str, str] = {}
    async with session.server() as client:
        there = await all_targets(client)
        for address in addresses:
            try:
                wanted = _target(address)
            except ValidationError:  # its text may hold a secret
                states[address.name] = "no address"
                continue
            if address.name in there:
                states[address.name] = "there already" if there[address.name] == wanted else "elsewhere"
                continue
            if dry_run:
                states[address.name] = "would be made"
                continue
            await cast("Awaitable[UUID]", wanted.save(address.name))
            await _audit(address.name, wanted)
            states[address.name] = "made"
    return states


def _target(address: Address) -> DeliveryTarget:
    from pydantic import SecretStr

    from blocks.target import DeliveryTarget

    if address.url:
        return DeliveryTarget(kind="webhook", url=SecretStr(address.url))
    return DeliveryTarget(kind="gateway", channel=address.channel, recipient=address.recipient)


async def _audit(name: str, target: DeliveryTarget) -> None:
    from ocs.store import audit

    async with session.store() as store:
        after = {"target": name, "kind": target.kind, "where": target.where}
        await audit.append(store, "target-saved", by=person(), after=after)


def local_zone() -> str:
    """The name of this machine's zone: times without one are meant in it."""
    from zoneinfo import available_timezones

    named = os.environ.get("TZ", "").removeprefix(":")
    linked = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    written = Path("/etc/timezone")
    choices = [named, linked, written.read_text(encoding="utf-8").strip() if written.is_file() else ""]
    known = available_timezones()
    zone = next((name for name in choices if name in known), "UTC")
    # All of Etc is UTC under some name, but those a number of hours away, such as Etc/GMT+5.
    return "UTC" if zone.startswith("Etc/") and not zone[-1].isdecimal() else zone


def switch_command(source: Source) -> str:
    """What to type to switch over from a source; one's own crontab need not be named."""
    from deployments.importing import crontab_lines

    named = "" if source.where == crontab_lines.OWN else f" {quote(source.where)}"
    return f"ocs jobs switch {source.program}{named}"
