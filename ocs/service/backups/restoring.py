"""Restore a backup: everything is read, checked and settled beside what is there before anything of that is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from ocs import settings
from ocs.errors import OcsError, Problem, Refused, StoreError, UsageError
from ocs.files import READABLE, make_folder, open_file
from ocs.rules.attribution import Attribution
from ocs.rules.disk import MIB
from ocs.rules.restored import Restored
from ocs.rules.wording import count_of
from ocs.service import session
from ocs.service.backups import archive, blocks, databases, scratch
from ocs.service.backups.archive import PLACES, PROJECT, SERVER, STORE, Manifest, Progress, project_path, stamp
from ocs.service.backups.databases import Place

LEAST_FREE = 64 * MIB
"""What is to stay free on the disk beside what is unpacked."""
LONGEST_PATH = 4000
"""In bytes: what systems take, less some room."""
REPLACED = ("prefect.yaml", "deployments")
"""What of a project's folder a backup has."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was restored; what was there before is in `aside`, if anything was."""

    manifest: Manifest
    home: Path
    project: Path | None
    aside: Path | None
    restored: Restored


def restore(path: Path, *, lost_at: datetime | None, replace: bool, by: Attribution, on_progress: Progress) -> Done:
    """Put everything of a backup back, with what was there before kept aside.

    Until `lost_at`, by default now, the scheduler may have gone on after the backup: what was due until then does not
    run again unless it is at-least-once.

    Raises:
        NotFound, Refused: there is no such backup, it is not whole, it is for another project, something runs, or
            something would be overwritten; nothing was changed.
    """
    from ocs.server import state
    from ocs.server.config import Config

    manifest = archive.read_manifest(path)
    home = settings.home()
    target = _Target.of(manifest)
    _check(manifest, lost_at, by.now)
    Config(home).check_folders()
    _check_paths(target, home, manifest)
    with ExitStack() as stack:
        stack.enter_context(scratch.tidy_when_ended())
        stack.enter_context(state.only_one(home))
        _check_idle(target.places)
        _check_room(manifest, home)
        there = target.there()
        if there and not replace:
            said = f"{count_of(len(there), 'thing')} would be replaced; nothing was changed."
            problems = [Problem("", "is there already", file=each) for each in there]
            raise Refused(said, hint="Keep aside what is there, and go on: --replace", problems=problems)
        work = stack.enter_context(scratch.scratch(home, scratch.RESTORING))
        manifest, files = archive.unpack(path, work, on_progress)
        _examine(manifest, files)
        restored = Restored(manifest.made_at, lost_at or by.now)
        if manifest.store == "sqlite":
            session.run(_settled(f"sqlite+aiosqlite:///{files[STORE]}", manifest, restored, by))
            databases.into_one_file(files[STORE])
        aside = _free(home / f"before-restore-{stamp(by.now)}") if there else None
        with _unfinished(home, target, manifest, work):
            if aside is not None:
                _put_aside(target, aside)
            _put_in_place(target, manifest, files, restored, by)
            _put_files(target, home, files, work)
    return Done(manifest, home, target.project if _has_project(manifest) else None, aside, restored)


@dataclass(frozen=True, slots=True)
class _Target:
    """Where everything goes."""

    places: tuple[Place, ...]
    project: Path
    has_project: bool

    @classmethod
    def of(cls, manifest: Manifest) -> _Target:
        found: list[Place] = []
        for name, kind, of in (
            (STORE, manifest.store, databases.store_place),
            (SERVER, manifest.server, databases.server_place),
        ):
            if kind is None:
                continue
            place = of()
            if place.kind != kind:
                said = f"The {name} in the backup is of {kind}, and the one that is set here is of {place.kind}."
                variable = "OCS_STORE_URL" if name == STORE else databases.URLS[0]
                raise Refused(said, hint=f"Set {variable} to a database of {kind}.")
            found.append(place)
        return cls(tuple(found), _project_folder(manifest), _has_project(manifest))

    def there(self) -> list[str]:
        """What would be replaced, as people read it."""
        found = [str(file) for place in self.places if place.kind == "sqlite" for file in place.files()[:1]]
        found += [
            place.url.render_as_string()
            for place in self.places
            if place.kind == "postgres" and session.run(_has_tables(place))
        ]
        return found + [str(self.project / name) for name in REPLACED if self._stands(name)]

    def _stands(self, name: str) -> bool:
        return self.has_project and os.path.lexists(self.project / name)

    def project_parts(self) -> list[Path]:
        """What of the project's folder is there."""
        return [self.project / name for name in REPLACED if self._stands(name)]


def _has_project(manifest: Manifest) -> bool:
    return manifest.has(f"{PROJECT}prefect.yaml")


def _project_folder(manifest: Manifest) -> Path:
    """The project that one stands in, when it is that of the backup; else an empty folder that one stands in.

    Half of a project, where a restore of it was cut off, is that project.
    """
    if (half := _half_restored(manifest)) is not None:
        return half
    try:
        folder = settings.project_dir()
    except UsageError:
        folder = _here()
        if _has_project(manifest) and folder.is_dir() and any(folder.iterdir()):
            hint = f"Stand in the project, or in an empty folder: mkdir {manifest.project} && cd {manifest.project}"
            raise Refused(f"{folder} is no project, and not empty.", hint=hint) from None
        return folder
    name = session.catalogue().name
    if manifest.project is not None and name != manifest.project:
        said = f"The backup is of the project {manifest.project}, and {folder} is {name}."
        raise Refused(said, hint="Stand in that project, or in an empty folder.")
    return folder


def _here() -> Path:
    return Path(os.environ.get("OCS_PROJECT") or Path.cwd()).expanduser().absolute()


def _half_restored(manifest: Manifest) -> Path | None:
    """The folder that the mark of a restore names, when it was of the same project and one stands in it."""
    from ocs.server.config import restoring

    try:
        told = json.loads(restoring(settings.home()).read_text())
        folder, project = Path(told["folder"]), told["project"]
    except (OSError, ValueError, KeyError, TypeError):  # no mark, or it was cut off itself
        return None
    same = project == manifest.project and _has_project(manifest)
    return folder if same and _here().resolve().is_relative_to(folder.resolve()) else None


def _free(path: Path) -> Path:
    """A path that nothing has: two restores of one second keep aside what each of them found."""
    number, found = 0, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _check_paths(target: _Target, home: Path, manifest: Manifest) -> None:
    """Names that fit may still be too long together with where they are to go."""
    for member in manifest.members:
        folder = target.project if member.name.startswith(PROJECT) else home
        if len(os.fsencode(folder / member.name)) > LONGEST_PATH:
            said = f"{member.name} has too long a path to stand in {folder}; nothing was changed."
            raise Refused(said, hint="Restore into a folder with a shorter path.")


def _check(manifest: Manifest, lost_at: datetime | None, now: datetime) -> None:
    from packaging.version import Version

    if lost_at is not None and not manifest.made_at.replace(microsecond=0) <= lost_at <= now:
        made = manifest.made_at.isoformat(timespec="seconds")
        said = f"--lost-at has to be a time from that of the backup ({made}) until now."
        raise UsageError(said, hint=f"If nothing ran after the backup: --lost-at {made}")
    if Version(manifest.prefect) > Version(version("prefect")):
        said = f"The backup is of Prefect {manifest.prefect}, and here is {version('prefect')}, which cannot read it."
        raise Refused(said, hint="Update ocs first.")


def _check_idle(places: Sequence[Place]) -> None:
    """Nobody works with what is there: a worker that is not of `ocs up`, or any other program.

    Raises:
        Refused: somebody does.
    """
    import psutil

    ours = {str(file.resolve()) for place in places if place.kind == "sqlite" for file in place.files()}
    for process in psutil.process_iter(["name", "open_files"]):
        if process.pid != os.getpid() and any(file.path in ours for file in process.info["open_files"] or ()):
            said = f"{process.info['name']} (process {process.pid}) works with what would be replaced."
            raise Refused(said, hint="End it first: it may be a worker, or a tool that looks at the database.")
    if any(place.name == STORE and place.kind == "postgres" for place in places):
        session.run(_check_leases())


async def _check_leases() -> None:
    """On Postgres workers of other hosts share the store; those that execute runs are known."""
    from ocs.store import leases, open_store
    from tasks.recovery import owner

    store = open_store()
    try:
        held = await leases(store)
    except Exception:  # empty, broken or of another version: nobody works with it
        return
    finally:
        await store.close()
    if alive := [lease.owner for lease in held if not lease.has_run_out and not owner.is_gone(lease.owner)]:
        raise Refused(f"A worker executes runs of this store: {alive[0]}.", hint="End all workers first.")


def _check_room(manifest: Manifest, home: Path) -> None:
    needed, free = sum(member.size for member in manifest.members) + LEAST_FREE, shutil.disk_usage(home).free
    if needed > free:
        said = f"{needed // MIB:,} MiB are needed on the disk of {home}, and {free // MIB:,} MiB are free."
        raise Refused(said, hint="Make room, or set OCS_HOME to another disk.")


def _examine(manifest: Manifest, files: Mapping[str, Path]) -> None:
    for name, kind in ((STORE, manifest.store), (SERVER, manifest.server)):
        if kind == "sqlite":
            databases.examine(files[name], f"The {name} in the backup")
    in_sqlite = files[SERVER] if manifest.server == "sqlite" else None
    blocks.check(manifest.key, in_sqlite)
    if "postgres" in (manifest.store, manifest.server):
        databases.needs_postgres_tools("pg_dump", "pg_restore", "psql")


async def _settled(url: str, manifest: Manifest, restored: Restored, by: Attribution) -> None:
    """Bring a restored store up to date, and tell it what it came out of."""
    from ocs.store import open_store
    from ocs.store.restored import settle

    store = open_store(url)
    try:
        await store.migrate()
        await settle(store, restored, by, manifest.made_by)
    except StoreError as failed:
        raise Refused(f"The store in the backup cannot be used: {failed.message}", hint=failed.hint) from failed
    finally:
        await store.close()


def _put_aside(target: _Target, aside: Path) -> None:
    """Everything that is there, the store last: as long as it stands nothing else can have taken its place."""
    make_folder(aside)
    for place in target.places:
        if place.kind == "postgres" and session.run(_has_tables(place)):
            databases.dump_postgres(place, aside / f"{place.name}.dump")
    for part in target.project_parts():
        shutil.move(part, aside / part.name)
    for place in reversed(target.places):
        for file in place.files() if place.kind == "sqlite" else ():
            shutil.move(file, aside / file.name)


def _put_in_place(
    target: _Target, manifest: Manifest, files: Mapping[str, Path], restored: Restored, by: Attribution
) -> None:
    """The store first: it knows what must not run again, whatever else is missing."""
    for place in target.places:
        if place.kind == "sqlite":
            make_folder(place.path.parent)
            shutil.move(files[place.name], place.path)
        else:
            databases.load_postgres(place, files[place.name], _our_tables() if place.name == STORE else ())
            if place.name == STORE:
                session.run(_settled(settings.store_url(), manifest, restored, by))


def _put_files(target: _Target, home: Path, files: Mapping[str, Path], work: Path) -> None:
    for name in filter(lambda name: name.startswith(PLACES), files):
        _write(home / "projects" / name.removeprefix(PLACES), files[name], work)
    if not target.has_project:
        return
    make_folder(target.project, READABLE)
    with scratch.scratch(target.project, scratch.RESTORING) as beside:
        for name, file in files.items():
            if (inside := project_path(name) if name.startswith(PROJECT) else None) is not None:
                _write(target.project / inside, file, beside, READABLE)


def _write(path: Path, source: Path, work: Path, mode: int | None = None) -> None:
    """A new file, whole before it has its name; nobody's link is followed: what stood there was moved aside."""
    make_folder(path.parent, *(() if mode is None else (mode,)))
    temporary = work / "written"
    temporary.unlink(missing_ok=True)
    with source.open("rb") as data, open_file(temporary, "xb", *(() if mode is None else (mode,))) as file:
        shutil.copyfileobj(data, file)
    temporary.replace(path)


@contextmanager
def _unfinished(home: Path, target: _Target, manifest: Manifest, work: Path) -> Generator[None]:
    """`ocs up` starts nothing on half of a backup, should this be cut off; the mark says of what, for the next one."""
    from ocs.server.config import restoring

    mark = restoring(home)
    with open_file(work / "mark", "x") as file:
        json.dump({"project": manifest.project, "folder": str(target.project)}, file)
    (work / "mark").replace(mark)
    try:
        yield
    except OSError as failed:
        raise OcsError(
            f"The restore was cut off: {failed.strerror or failed}.", hint="Restore again, with --replace."
        ) from failed
    with suppress(FileNotFoundError):
        mark.unlink()


def _our_tables() -> list[str]:
    """Every table that a store of this version has: a newer one may stand where an older backup is to go."""
    import importlib
    import pkgutil

    from sqlmodel import SQLModel

    import ocs.store

    for module in pkgutil.iter_modules(ocs.store.__path__, "ocs.store."):
        if module.name.startswith("ocs.store.tables"):
            importlib.import_module(module.name)
    return [*SQLModel.metadata.tables, "alembic_version"]


async def _has_tables(place: Place) -> bool:
    from sqlalchemy import NullPool, inspect
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(place.url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return bool(await connection.run_sync(lambda bare: inspect(bare).get_table_names()))
    except (OSError, DBAPIError) as failed:
        raise Refused(f"{place.url.render_as_string()} cannot be used: {failed}") from failed
    finally:
        await engine.dispose()
