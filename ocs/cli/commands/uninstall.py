"""`ocs uninstall --dry-run`: what lies where."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ocs import settings
from ocs.cli.render.output import answer, say, table
from ocs.errors import Refused, UsageError
from ocs.service import session

app = typer.Typer()


@app.command(epilog="Example:  ocs uninstall --dry-run")
def uninstall(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="The only way there is: nothing is removed.")] = False,
) -> None:
    """Say what lies where, and what to type to take it away. Nothing is removed."""
    if not dry_run:
        raise UsageError("ocs does not remove itself.", hint="See what lies where: ocs uninstall --dry-run")
    found = list(filter(None, (_server(), _service(), _home(), _store(), _project(), _program())))

    def people() -> None:
        table(("WHAT", "WHERE", "TAKE IT AWAY WITH"), found)
        say("Nothing was removed. Make a backup first:  ocs backup create --folder ELSEWHERE")

    answer({"parts": [dict(zip(("what", "where", "remove"), each, strict=True)) for each in found]}, people)


Part = tuple[str, str, str]


def _server() -> Part | None:
    from ocs.server import running

    up = running()
    return ("server and worker", up.url, "ocs down") if up else None


def _service() -> Part | None:
    from ocs.server import boot

    try:
        file = boot.here().file(boot.of_this_home())
    except Refused:  # a system without services
        return None
    return ("service", str(file), "ocs service remove") if file.exists() else None


def _home() -> Part | None:
    """With everything in it: records, logs, the server's data, secrets, and backups that were put nowhere else."""
    home = settings.home()
    return ("data, logs, backups", str(home), f"rm -r {shlex.quote(str(home))}") if home.exists() else None


def _store() -> Part | None:
    """One that is elsewhere than in the home."""
    from sqlalchemy import make_url

    url = make_url(settings.store_url())
    if url.get_backend_name() != "sqlite":
        return ("store", url.render_as_string(), "drop its tables there")
    path = Path(url.database or "")
    is_elsewhere = path.exists() and not path.resolve().is_relative_to(settings.home())
    return ("store", str(path), f"rm {shlex.quote(str(path))}*") if is_elsewhere else None


def _project() -> Part | None:
    return ("project", str(settings.project_dir()), "it is yours") if session.has_project() else None


def _program() -> Part:
    """As it was installed, where that can be told by its place."""
    place = Path(sys.prefix)
    tool = next((name for name in ("pipx", "uv") if name in place.parts), None)
    command = {"pipx": "pipx uninstall prefect-openclaw", "uv": "uv tool uninstall prefect-openclaw"}
    return ("program", str(place), command.get(tool or "", "pip uninstall prefect-openclaw"))
