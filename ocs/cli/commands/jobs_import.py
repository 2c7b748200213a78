"""`ocs jobs import`: other schedulers' jobs become job files, disabled until a person enables them."""

from __future__ import annotations

import contextlib
import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ocs.cli.commands.jobs import read_text
from ocs.cli.importing import FOR_YOU_ONLY, Disabled, local_zone, own_crontab
from ocs.cli.render.output import answer, say, table, tell
from ocs.errors import NotFound, OcsError, Problem, ServerUnreachable, UsageError
from ocs.files import FOR_OWNER, READABLE, is_hidden
from ocs.rules.wording import count_of, first_line
from ocs.service import session

if TYPE_CHECKING:
    from deployments.catalogue import Catalogue
    from deployments.crontab import Crontab, Left
    from deployments.crontab_jobs import Imported

app = typer.Typer()
OWN = "crontab -l"
PROGRAMS = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
ALSO_PROGRAMS = frozenset({"mail", "backup", "sync", "man", "news", "games"})
"""Users that systems come with, and what people call their commands."""
Form = Literal["own", "system"]
Overlap = Literal["allow", "skip", "queue", "replace"]


@dataclass(frozen=True, slots=True)
class Source:
    """A crontab: where it is from, what it says, in which form, where that is known, and whether others can read it."""

    name: str
    text: str
    form: Form | None = None
    is_hidden: bool = False


@dataclass(slots=True)
class Read:
    """What all sources say together: jobs and lines with the name of their source, and what to know of the sources."""

    imported: list[tuple[str, Imported]] = field(default_factory=list["tuple[str, Imported]"])
    left: list[tuple[str, Left]] = field(default_factory=list["tuple[str, Left]"])
    hints: list[str] = field(default_factory=list[str])


class NotAllUnderstood(OcsError):
    """Some lines cannot be carried over."""

    code = "not_all_imported"


@app.command(epilog="Example:  ocs jobs import crontab --user --dry-run")
def crontab(
    file: Annotated[str | None, typer.Argument(help="A crontab, or - for standard input.")] = None,
    user: Annotated[bool, typer.Option("--user", help="Your own: crontab -l.")] = False,
    system: Annotated[
        bool, typer.Option("--system", help="/etc/crontab and /etc/cron.d; with a file: its entries name users, too.")
    ] = False,
    root: Annotated[Path, typer.Option(help="With --system: of a system mounted here.")] = Path("/"),
    timezone: Annotated[str | None, typer.Option(help="The zone of its times; by default this machine's.")] = None,
    overlap: Annotated[
        Overlap,
        typer.Option(help="What a job does that is due while it still runs; cron allows it."),
    ] = "allow",
    partial: Annotated[bool, typer.Option("--partial", help="Take what can be taken; leave the other lines.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be written.")] = False,
    disabled: Disabled = True,  # noqa: ARG001  there is no other way
) -> None:
    """Make a job of each entry of a crontab, and name every line that cannot be one. Again, it changes nothing.

    The jobs do what cron does, also where ours do something else by default; comments in their files say where.
    """
    if user == (file is not None or system):
        raise UsageError("Say which crontab: a file, --user, or --system.")
    if file is not None:
        hidden = file != "-" and is_hidden(Path(file))
        sources = [Source(file, read_text(file), "system" if system else None, hidden)]
    else:
        sources = [Source(OWN, own_crontab(), "own", is_hidden=True)] if user else _system(root / "etc")
    found = session.catalogue().checked()
    read = _read(sources, found, timezone, overlap)
    if read.left and not partial:
        problems = [Problem("", f"{line.text}: {line.why}", name, line.line) for name, line in read.left]
        raise NotAllUnderstood(
            f"{count_of(len(read.left), 'line')} cannot be carried over; nothing was changed.",
            hint="Take the others: add --partial." if read.imported else None,
            problems=problems,
        )
    new = {f"{name}:{job.entry.line}": job for name, job in read.imported if job.document}
    hidden = [source.name for source in sources if source.is_hidden] if new else []
    read.hints += [f"{FOR_YOU_ONLY.format(where=name)}." for name in hidden]
    _write(found, new, FOR_OWNER if hidden else READABLE, dry_run=dry_run)
    _tell(read, dry_run=dry_run)


def _read(sources: Sequence[Source], found: Catalogue, timezone: str | None, overlap: Overlap) -> Read:
    from deployments.crontab_jobs import ORIGIN, Here, bare, jobs_of, origin_of, valid
    from deployments.importing.crontab_lines import place

    read = Read()
    parsed = [(source.name, _parsed(source, read.hints)) for source in sources]
    mailed = any(entry.environment.get("MAILTO") for _, each in parsed for entry in each.entries)
    here = Here(timezone or local_zone(), session.user(), _mail_targets() if mailed else {}, overlap)
    known = {bare(job.origin): job.id for job in found.jobs.values() if job.origin and job.origin.startswith(ORIGIN)}
    taken = list(found.jobs)
    for name, each in parsed:
        jobs, refused = valid(jobs_of(each.entries, here, known=known, taken=taken, place=place(name)))
        read.left += [(name, line) for line in sorted((*each.left, *refused), key=lambda line: line.line)]
        read.imported += [(name, job) for job in jobs]
        known |= {origin_of(job.entry): job.job_id for job in jobs}
        taken += [job.job_id for job in jobs]
    return read


def _parsed(source: Source, hints: list[str]) -> Crontab:
    """In the system's form where the source says so, its name does, or every line names a user of this machine."""
    from deployments.crontab import form_of, is_system_file, parse, without_users

    if source.form is not None or is_system_file(source.name):
        return parse(source.text, with_user=source.form != "own")
    read = parse(source.text)
    form = form_of(read.entries, is_user=_is_user, is_program=_is_program)
    if form == "system":
        hints.append(f"{source.name}: read as /etc/crontab is, where the sixth field of each line names a user.")
        return parse(source.text, with_user=True)
    if form == "unsure":
        hints.append(f"{source.name}: commands begin with users of this machine. If those run them, add --system.")
        return without_users(read, is_user=_is_user, is_program=_is_program)
    return read


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return name == "root"
    return True


def _is_program(name: str) -> bool:
    return name in ALSO_PROGRAMS or shutil.which(name, path=PROGRAMS) is not None


def _mail_targets() -> dict[str, str]:
    """Targets by the addresses they mail to; none while no server can be asked."""

    async def found() -> dict[str, str]:
        async with session.server() as client:
            from blocks.targets import all_targets, by_mail_address

            return by_mail_address(await all_targets(client))

    with contextlib.suppress(ServerUnreachable):
        return session.run(found())
    return {}


def _write(found: Catalogue, new: Mapping[str, Imported], mode: int, *, dry_run: bool) -> None:
    """All files or none: each is checked before the first is written.

    prefect.yaml without new ones too: an import that was killed may have left it as it was.
    """
    from deployments import catalogue, prefect_yaml, yaml_text

    texts = {where: yaml_text.dump(job.document, job.comments) for where, job in new.items()}
    catalogue.read_files(texts).checked()
    if dry_run:
        return
    for where, job in new.items():
        catalogue.replace_file(catalogue.path_of(found.project, job.job_id), texts[where], mode)
    prefect_yaml.regenerate(catalogue.read(found.project))


def _tell(read: Read, *, dry_run: bool) -> None:
    hints = [*read.hints, *_hints([job for _, job in read.imported])]
    shown: list[dict[str, Any]] = [
        {
            "job": job.job_id,
            "schedule": job.entry.schedule,
            "command": job.entry.command,
            "file": name,
            "line": job.entry.line,
            "state": "new" if job.document else "already there",
        }
        for name, job in read.imported
    ]
    lines = [{"file": name, "line": line.line, "text": line.text, "why": line.why} for name, line in read.left]

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
        new = [job for job in shown if job["state"] == "new"]
        _say_next([job["job"] for job in new], list(dict.fromkeys(job["file"] for job in new)), dry_run=dry_run)

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


def _say_next(new: Sequence[object], files: Sequence[str], *, dry_run: bool) -> None:
    if dry_run:
        say(f"Would write {count_of(len(new), 'job')}; nothing was changed.")
    elif new:
        say(f"Wrote {count_of(len(new), 'job')}, disabled. One by one: take the line out of the crontab, and then")
        say(f"  ocs jobs enable {new[0]}")
        for name in files:
            named = "" if name == OWN else " FILE --stopped" if name == "-" else f" {quote(name)}"
            say(f"All at once: ocs jobs switch crontab{named}")
    else:
        say("All of them are there already; no job was changed.")


def _system(etc: Path) -> list[Source]:
    """Cron itself reads only files of plain names in cron.d."""
    from deployments.crontab import SYSTEM_FILE, SYSTEM_FOLDER

    folder = etc / SYSTEM_FOLDER
    try:
        names = sorted(folder.iterdir()) if folder.is_dir() else []
        plain = [path for path in names if path.name.replace("-", "").replace("_", "").isalnum()]
        files = [path for path in (etc / SYSTEM_FILE, *plain) if path.is_file()]
    except OSError as failed:
        raise NotFound(f"{failed.filename} cannot be read: {failed.strerror}.", hint="Who may read it?") from failed
    if not files:
        raise NotFound(f"There is no crontab in {etc}.")
    return [Source(str(path), read_text(str(path)), "system", is_hidden(path)) for path in files]
