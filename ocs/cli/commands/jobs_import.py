"""`ocs jobs import`: other schedulers' jobs become job files, disabled until a person enables them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocs.cli import session
from ocs.cli.commands.jobs import read_text
from ocs.cli.group import group
from ocs.cli.render.output import answer, count_of, first_line, say, table, tell
from ocs.errors import NotFound, OcsError, Problem, UsageError

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue
    from deployments.crontab import Left
    from deployments.crontab_jobs import Imported

app = group("Take over jobs of other schedulers: each becomes a job file, disabled until you enable it.")
OWN = "crontab -l"
SYSTEM_FILE, SYSTEM_FOLDER = "crontab", "cron.d"


@dataclass(frozen=True, slots=True)
class Source:
    """A crontab: where it is from, and what it says."""

    name: str
    text: str
    with_user: bool = False


class NothingUnderstood(OcsError):
    """There were lines, and none of them could be carried over."""

    code = "nothing_imported"


@app.command(epilog="Example:  ocs jobs import crontab --user --dry-run")
def crontab(
    file: Annotated[str | None, typer.Argument(help="A crontab, or - for standard input.")] = None,
    user: Annotated[bool, typer.Option("--user", help="Your own: crontab -l.")] = False,
    system: Annotated[bool, typer.Option("--system", help="/etc/crontab and /etc/cron.d.")] = False,
    root: Annotated[Path, typer.Option(help="With --system: of a system mounted here.")] = Path("/"),
    timezone: Annotated[str | None, typer.Option(help="The zone of its times; by default this machine's.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")] = False,
) -> None:
    """Make a job of each entry of a crontab, and name every line that cannot be one. Again, it changes nothing."""
    from deployments.crontab import parse

    if [file is not None, user, system].count(True) != 1:
        raise UsageError("Say which crontab: a file, --user, or --system.")
    sources = _system(root / "etc") if system else [_own() if user else Source(file or "", read_text(file or "-"))]
    found = session.catalogue().checked()
    imported: list[tuple[str, Imported]] = []
    left: list[tuple[str, Left]] = []
    for source in sources:
        parsed = parse(source.text, with_user=source.with_user)
        left += [(source.name, line) for line in parsed.left]
        imported += [(source.name, job) for job in _jobs(parsed.entries, found, imported, timezone)]
    new = {f"{name}:{job.entry.line}": job for name, job in imported if job.document}
    if left and not imported:
        problems = [Problem("", f"{line.text}: {line.why}", name, line.line) for name, line in left]
        raise NothingUnderstood(f"None of {count_of(len(left), 'line')} can be carried over.", problems=problems)
    _write(found, new, dry_run=dry_run)
    _tell(imported, left, dry_run=dry_run)


def _jobs(
    entries: Sequence[Any], found: Catalogue, before: Sequence[tuple[str, Imported]], timezone: str | None
) -> list[Imported]:
    from deployments.crontab_jobs import ORIGIN, jobs_of, origin_of

    known = {job.origin: job.id for job in found.jobs.values() if (job.origin or "").startswith(ORIGIN)}
    known |= {origin_of(job.entry): job.job_id for _, job in before}
    return jobs_of(
        entries,
        known={origin: job_id for origin, job_id in known.items() if origin},
        taken=[*found.jobs, *(job.job_id for _, job in before)],
        timezone=timezone or _local_zone(),
        user=session.user(),
    )


def _write(found: Catalogue, new: Mapping[str, Imported], *, dry_run: bool) -> None:
    """All files or none: each is checked before the first is written."""
    from deployments import catalogue, prefect_yaml, yaml_text

    texts = {where: yaml_text.dump(job.document) for where, job in new.items()}
    catalogue.read_files(texts).checked()
    if dry_run or not new:
        return
    for where, job in new.items():
        catalogue.replace_file(catalogue.path_of(found.project, job.job_id), texts[where])
    prefect_yaml.regenerate(catalogue.read(found.project))


def _tell(imported: Sequence[tuple[str, Imported]], left: Sequence[tuple[str, Left]], *, dry_run: bool) -> None:
    hints = _hints([job for _, job in imported])
    shown: list[dict[str, Any]] = [
        {
            "job": job.job_id,
            "schedule": job.entry.schedule,
            "command": job.entry.command,
            "file": name,
            "line": job.entry.line,
            "state": "new" if job.document else "already there",
        }
        for name, job in imported
    ]
    lines = [{"file": name, "line": line.line, "text": line.text, "why": line.why} for name, line in left]

    def people() -> None:
        if not shown and not lines:
            say("There are no entries.")
            return
        rows = [
            (job["job"], job["schedule"], first_line(job["command"], 50), _from(job), job["state"]) for job in shown
        ]
        table(("JOB", "SCHEDULE", "COMMAND", "FROM", ""), rows, spare=("COMMAND",))
        for line in lines:
            tell(f"Not carried over: {line['file']}:{line['line']}  {line['text']}\n    {line['why']}", style="yellow")
        for hint in hints:
            tell(hint)
        new = [job["job"] for job in shown if job["state"] == "new"]
        _say_next(new, dry_run=dry_run)

    answer({"dry_run": dry_run, "imported": shown, "not_carried_over": lines, "hints": hints}, people)


def _hints(imported: Sequence[Imported]) -> list[str]:
    """Each hint once, after the jobs that it is about."""
    about: dict[str, list[str]] = {}
    for job in imported:
        for hint in job.hints:
            about.setdefault(hint, []).append(job.job_id)
    return [f"{', '.join(jobs)}: {hint}" for hint, jobs in about.items()]


def _from(job: Mapping[str, Any]) -> str:
    return f"{job['file']}:{job['line']}"


def _say_next(new: Sequence[object], *, dry_run: bool) -> None:
    if dry_run:
        say(f"Would write {count_of(len(new), 'job')}; nothing was changed.")
    elif new:
        say(f"Wrote {count_of(len(new), 'job')}, disabled. One by one: take the line out of the crontab, and then")
        say(f"  ocs jobs enable {new[0]}")
    else:
        say("All of them are there already; nothing was changed.")


def _own() -> Source:
    from deployments.reading import decoded

    program = shutil.which("crontab")
    if program is None:
        raise NotFound("There is no program crontab on this machine.", hint="Name a file instead.")
    ended = subprocess.run([program, "-l"], capture_output=True, check=False)
    if ended.returncode != 0:
        why = ended.stderr.decode("utf-8", errors="replace").strip()
        raise NotFound(f"{OWN}: {why}", hint="Is there a crontab of yours?")
    return Source(OWN, decoded(ended.stdout, OWN))


def _system(etc: Path) -> list[Source]:
    """Cron itself reads only files of plain names in cron.d."""
    folder = etc / SYSTEM_FOLDER
    try:
        names = sorted(folder.iterdir()) if folder.is_dir() else []
        plain = [path for path in names if path.name.replace("-", "").replace("_", "").isalnum()]
        files = [path for path in (etc / SYSTEM_FILE, *plain) if path.is_file()]
    except OSError as failed:
        raise NotFound(f"{failed.filename} cannot be read: {failed.strerror}.", hint="Who may read it?") from failed
    if not files:
        raise NotFound(f"There is no crontab in {etc}.")
    return [Source(str(path), read_text(str(path)), with_user=True) for path in files]


def _local_zone() -> str:
    """The name of this machine's zone: cron's times are in it."""
    from zoneinfo import available_timezones

    named = os.environ.get("TZ", "").removeprefix(":")
    linked = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    written = Path("/etc/timezone")
    choices = [named, linked, written.read_text(encoding="utf-8").strip() if written.is_file() else ""]
    known = available_timezones()
    zone = next((name for name in choices if name in known), "UTC")
    # All of Etc is UTC under some name, but those a number of hours away, such as Etc/GMT+5.
    return "UTC" if zone.startswith("Etc/") and not zone[-1].isdecimal() else zone
