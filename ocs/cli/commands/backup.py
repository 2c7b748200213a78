"""`ocs backup`: everything in one file, and back."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli.arguments import lost_of
from ocs.cli.ending import refuse_from_inside
from ocs.cli.person import person
from ocs.cli.render.output import Mode, answer, say, table, tell
from ocs.errors import NotFound
from ocs.rules.disk import MIB
from ocs.rules.wording import count_of, local, utc

if TYPE_CHECKING:
    from ocs.service.backups import Kept, Manifest

app = typer.Typer()
TELL_EVERY = 2.0
AT_ONCE = "backup"
"""As a moment: nothing ran after the backup."""
Folder = Annotated[Path | None, typer.Option("--folder", help="Where backups lie; by default OCS_HOME/backups.")]
Which = Annotated[str, typer.Argument(metavar="FILE", help="Its path, or its name in the folder of backups.")]


@app.command(epilog="Example:  ocs backup create --folder /mnt/disk --keep 7")
def create(
    folder: Folder = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Remove the oldest ones of this project, so that so many stay.")
    ] = None,
) -> None:
    """Make a backup, also while everything runs, and verify it."""
    from ocs.service import backups

    made = backups.create(backups.folder(folder), keep, _progress())
    size = made.path.stat().st_size

    def people() -> None:
        say(f"Made {made.path} ({_mib(size)}), and verified it.")
        _say_inside(made.manifest)
        if made.removed:
            say(f"Removed {count_of(len(made.removed), 'older one')}.")

    view = {"file": str(made.path), "size": size, **_view(made.manifest)}
    answer({"backup": view, "removed": list(map(str, made.removed))}, people)


@app.command("list", epilog="Example:  ocs backup list --folder /mnt/disk")
def list_backups(folder: Folder = None) -> None:
    """List backups, newest first."""
    from ocs.service import backups

    within = backups.folder(folder)
    found = backups.listed(within)

    def people() -> None:
        if not found:
            say(f"There are no backups in {within}. Make one:  ocs backup create")
            return
        table(("BACKUP", "MADE", "PROJECT", "SIZE", "INSIDE"), [_row(kept) for kept in found])

    answer({"folder": str(within), "backups": [_listed(kept) for kept in found]}, people)


@app.command(epilog="Example:  ocs backup verify my-jobs-20261130T023000Z.backup.zip")
def verify(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="By default the newest.")] = None,
    folder: Folder = None,
) -> None:
    """Read all of a backup, and compare it with the checksums of its manifest."""
    from ocs.service import backups

    within = backups.folder(folder)
    path = backups.find(file, within) if file else _newest(within)
    manifest = backups.verify(path, _progress())

    def people() -> None:
        say(f"{path} is whole: {count_of(len(manifest.members), 'member')}, made at {local(manifest.made_at)}.")
        _say_inside(manifest)

    answer({"backup": {"file": str(path), **_view(manifest)}}, people)


@app.command(epilog="Example:  ocs backup restore my-jobs-20261130T023000Z.backup.zip --replace")
def restore(
    file: Which,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what is there; it is kept aside, and where is said.")
    ] = False,
    lost_at: Annotated[
        str | None,
        typer.Option(
            help="When the scheduler stopped: a moment, such as 2026-11-30T04:10, 2h (ago), or backup, if it was then;"
            " by default now. What was due until then runs again only where it is at-least-once."
        ),
    ] = None,
    folder: Folder = None,
) -> None:
    """Put everything back, while nothing runs. Stand in the project, or in an empty folder for it."""
    from ocs.service import backups, session

    lost = lost_of(lost_at) if lost_at != AT_ONCE else None
    session.run(refuse_from_inside("ocs backup restore"))
    path = backups.find(file, backups.folder(folder))
    lost = backups.read_manifest(path).made_at if lost_at == AT_ONCE else lost
    done = backups.restore(path, lost_at=lost, replace=replace, by=person(), on_progress=_progress())
    lost_moment = done.restored.lost_at

    def people() -> None:
        say(f"Restored what was at {local(done.manifest.made_at)} into {done.home}.")
        if done.project is not None:
            say(f"The job files are in {done.project}.")
        if done.aside is not None:
            say(f"What was there before is in {done.aside}.")
        if lost_moment > done.manifest.made_at:
            tell(
                f"What was due until {local(lost_moment)} may have run after the backup: it does not run again, unless"
                " its job is at-least-once.",
                style="yellow",
            )
        say("Next:  ocs up --detach && ocs doctor")

    view = {"home": str(done.home), "folder": done.project and str(done.project), **_view(done.manifest)}
    view |= {"aside": done.aside and str(done.aside), "lost_at": utc(lost_moment)}
    answer({"restored": view}, people)


def _newest(within: Path) -> Path:
    from ocs.service import backups

    found = backups.listed(within)
    if not found:
        raise NotFound(f"There are no backups in {within}.", hint="Make one: ocs backup create")
    return found[0].path


def _row(kept: Kept) -> tuple[object, ...]:
    if kept.manifest is None:
        return kept.path.name, "", "", _mib(kept.size), kept.problem
    return kept.path.name, local(kept.manifest.made_at), kept.manifest.project, _mib(kept.size), _parts(kept.manifest)


def _listed(kept: Kept) -> dict[str, Any]:
    inside = _view(kept.manifest) if kept.manifest else {"problem": kept.problem}
    return {"file": str(kept.path), "size": kept.size, **inside}


def _view(manifest: Manifest) -> dict[str, Any]:
    return {
        "made_at": utc(manifest.made_at),
        "project": manifest.project,
        "version": manifest.version,
        "prefect": manifest.prefect,
        "store": manifest.store,
        "server": manifest.server,
        "secrets": manifest.secrets,
        "key": manifest.key.where if manifest.key else None,
        "left_out": list(manifest.left_out),
    }


def _parts(manifest: Manifest) -> str:
    parts = {
        "store": manifest.store,
        "server's database": manifest.server,
        "job files": any(member.name.startswith("project/") for member in manifest.members),
        "secrets": manifest.secrets,
    }
    return ", ".join(name for name, there in parts.items() if there)


def _say_inside(manifest: Manifest) -> None:
    say(f"Inside: {_parts(manifest)}.  Not inside: {', '.join(manifest.left_out)}.")
    if manifest.key is None:
        return
    if manifest.key.where == "environment":
        tell("Its secrets can be read with PREFECT_SERVER_ENCRYPTION_KEY only, which is not inside: keep that too.")
    else:
        tell("Whoever reads the file reads the secrets in it: it is readable by you only; keep it so.", style="yellow")


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"


def _progress() -> Any:
    """Tell people now and then how far it is."""
    told = time.monotonic()

    def advance(doing: str, done: int, total: int) -> None:
        nonlocal told
        if not Mode.json and time.monotonic() - told >= TELL_EVERY:
            told = time.monotonic()
            tell(f"{doing} ... {done * 100 // total if total else 100}%", style="dim")

    return advance
