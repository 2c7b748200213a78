"""Make a backup: one moment of both databases, the project's files, and a manifest, verified before it has its name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from uuid import UUID

from ocs import settings
from ocs.errors import NotFound, Refused
from ocs.files import make_folder
from ocs.rules.disk import MIB
from ocs.service import session
from ocs.service.backups import archive, blocks, databases, scratch, shelf
from ocs.service.backups.archive import FORMAT, PLACES, PROJECT, SERVER, Key, Manifest, Progress
from ocs.service.backups.databases import Place

RUN_ID = "OCS_RUN_ID"
MOST_FILES = 15_000
MOST_BYTES = 256 * MIB
NAMED = 3
"""Of the files that are left out because of their names."""
LEFT_OUT = ("large outputs of runs (OCS_HOME/artifacts)", "logs", "the server's password")
"""What no backup holds, and nobody needs to go on."""


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made, and the older ones that went for it."""

    path: Path
    manifest: Manifest
    removed: tuple[Path, ...] = ()


def create(within: Path, keep: int | None, on_progress: Progress) -> Made:
    """Make a backup in a folder; with `keep`, only so many of this project stay there.

    Raises:
        NotFound: there is nothing to back up.
        Refused: a restore was cut off here, something of it cannot be copied, or the folder cannot be written to;
            nothing is left.
    """
    _check_whole(settings.home())
    made_by = _own_run()
    project = settings.project_dir() if session.has_project() else None
    name = session.catalogue().name if project else None
    store, server, left_out = _places()
    _check_tools(place for place in (store, server) if place)
    members, unnamed = _project_files(project)
    scratch.clear(settings.home(), scratch.RESTORING)
    with scratch.tidy_when_ended(), _writable(within), scratch.scratch(within, scratch.MAKING) as work:
        # The server's moment comes first: what the store knows is then never older than what Prefect knows.
        places = [place for place in (server, store) if place]
        copies, made_at = _copied(places, work, on_progress)
        key, secrets = _key(server, copies)
        path = shelf.free_name(within, name, made_at)
        with archive.written(path, work, on_progress) as writing:
            for place in places:
                writing.add(place.name, copies[place.name])
            for member, file in (*members, *_notes()):
                writing.add(member, file)
            manifest = Manifest(
                format=FORMAT,
                version=version("prefect-openclaw"),
                prefect=version("prefect"),
                project=name,
                made_at=made_at,
                made_by=made_by,
                store=store.kind if store else None,
                server=server.kind if server else None,
                key=key,
                secrets=secrets,
                left_out=(*left_out, *unnamed, *LEFT_OUT),
                members=tuple(writing.members),
            )
            writing.finish(manifest)
        removed = shelf.clear(within, name, keep) if keep is not None else []
    return Made(path, manifest, tuple(removed))


def _places() -> tuple[Place | None, Place | None, list[str]]:
    """Store and server, as far as they are there, and what is left out because it is not ours."""
    store, left_out = databases.store_place(), list[str]()
    server = databases.server_place() if databases.is_embedded() else None
    if server is None:
        left_out.append(f"the database of the server at {settings.api_url()}, which is not that of ocs up")
    elif server.kind == "sqlite" and not server.path.exists():
        if session.embedded_at() is not None:
            said = f"The server that runs does not have its data in {server.path}."
            raise Refused(said, hint=f"Set {databases.URLS[0]} to what ocs up was started with.")
        server = None
    if store.kind == "sqlite" and not store.path.exists():
        if server is None:
            raise NotFound(f"There is nothing to back up in {settings.home()}.", hint="Is OCS_HOME set to it?")
        return None, server, left_out
    return store, server, left_out


def _check_tools(places: Iterator[Place]) -> None:
    if any(place.kind == "postgres" for place in places):
        databases.needs_postgres_tools("pg_dump")


def _copied(places: list[Place], work: Path, on_progress: Progress) -> tuple[dict[str, Path], datetime]:
    copies = {place.name: work / place.name for place in places}
    with databases.snapshots(places) as held:
        made_at = datetime.now(UTC)
        for place in places:
            if place.name in held:
                databases.copy_sqlite(held[place.name], place.name, copies[place.name], on_progress)
            else:
                databases.dump_postgres(place, copies[place.name])
    return copies, made_at


def _key(server: Place | None, copies: dict[str, Path]) -> tuple[Key | None, int]:
    """Of a server in Postgres only the environment is known: its dump is not read here."""
    if server is None:
        return None, 0
    if server.kind == "sqlite":
        return blocks.key_of(copies[SERVER]), blocks.secrets_in(copies[SERVER])
    return blocks.given_key() or Key(where="inside"), 0


def _check_whole(home: Path) -> None:
    from ocs.server.config import restoring

    if restoring(home).exists():
        said = f"A restore into {home} was cut off: what is there is half of a backup, and not worth one."
        raise Refused(said, hint="Restore again first: ocs backup restore FILE --replace")


def _project_files(project: Path | None) -> tuple[list[tuple[str, Path]], list[str]]:
    """The job files and what belongs to them, and what is left out because no backup can hold its name.

    Scripts that jobs call are the project's own business.
    """
    if project is None:
        return [], []
    found = sorted(path for path in (project / "deployments").rglob("*") if shelf.is_plain(path))
    files = [*(path for path in [project / "prefect.yaml"] if shelf.is_plain(path)), *found]
    if len(files) > MOST_FILES or sum(path.stat().st_size for path in files) > MOST_BYTES:
        said = f"{project / 'deployments'} holds more than {MOST_FILES:,} files or {MOST_BYTES // MIB} MiB."
        raise Refused(said, hint="Put what is no job file elsewhere.")
    members = [(PROJECT + path.relative_to(project).as_posix(), path) for path in files]
    held = [(member, path) for member, path in members if archive.project_path(member) is not None]
    unnamed = [path for member, path in members if archive.project_path(member) is None]
    return held, [f"{path.name!r}, whose name or path cannot be restored" for path in unnamed[:NAMED]] + (
        [f"{len(unnamed) - NAMED} more of such names"] if len(unnamed) > NAMED else []
    )


def _notes() -> Iterator[tuple[str, Path]]:
    """In which folders of this machine the projects are."""
    for path in sorted((settings.home() / "projects").glob("*.folder")):
        if shelf.is_plain(path) and archive.PLACE.fullmatch(PLACES + path.name):
            yield PLACES + path.name, path


def _own_run() -> UUID | None:
    """The run that makes the backup, when it is one of the store that is backed up.

    Raises:
        Refused: it is a run of another installation: the job that makes it looks at the wrong store.
    """
    given = os.environ.get(RUN_ID)
    if given is None:
        return None
    run_id = session.run(_known_run(given))
    if run_id is None:
        said = f"This is a job's run, and the store of {settings.home()} does not know it: it is not the job's own."
        raise Refused(
            said, hint="Give the job the OCS_STORE_URL that ocs up has, in run.shell.env or run.shell.secrets."
        )
    return run_id


async def _known_run(given: str) -> UUID | None:
    from ocs.store import queries

    if not session.has_store():
        return None
    async with session.store() as store:
        try:
            run = await queries.run(store, UUID(given))
        except ValueError:
            return None
    return run.id if run else None


@contextmanager
def _writable(within: Path) -> Generator[None]:
    """What the disk has against it is told as that. Only one folder is made: a disk that is not there is missed."""
    if not within.parent.exists():
        raise Refused(
            f"The backup cannot be written in {within}: there is no folder {within.parent}.",
            hint=f"Is a disk not mounted? Else make it: mkdir -p {shlex.quote(str(within.parent))}",
        )
    try:
        make_folder(within)
        yield
    except OSError as failed:
        raise Refused(
            f"The backup cannot be written in {within}: {failed.strerror or failed}.", hint="Name another: --folder"
        ) from failed
