"""What `ocs doctor` looks at on this machine. A check gives findings and changes nothing by itself."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ocs import settings
from ocs.errors import OcsError, Unusable
from ocs.files import is_ours_alone, is_private
from ocs.rules.disk import MIB, is_short, reserve
from ocs.rules.wording import count_of
from ocs.service import session

if TYPE_CHECKING:
    from ocs.extensions import Extensions

GIB = 2**30
LITTLE_DISK = GIB
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
PRIMARY = 0xFF
"""What SQLite's extended error codes have in common with the plain one."""
GATEWAY_PATIENCE = 3.0
PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}


class State(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, the command that mends it, and what `--fix` does about it."""

    check: str
    state: State
    finding: str
    mend: str | None = None
    fix: Callable[[], object] | None = None
    fixed: bool = False


def failure(check: str, failed: Exception) -> Finding:
    """The finding of a check that could not be made."""
    if isinstance(failed, OcsError):
        said = "  ".join([failed.message, *map(str, failed.problems)])
        return Finding(check, State.PROBLEM, said, failed.hint)
    said = f"This could not be examined: {str(failed) or type(failed).__name__}"
    return Finding(check, State.PROBLEM, said)


def versions() -> Iterator[Finding]:
    """Which programs these are, and whether this Prefect is one that we were tried with."""
    from packaging.requirements import Requirement

    python = ".".join(map(str, sys.version_info[:3]))
    prefect = version("prefect")
    ours = f"prefect-openclaw {version('prefect-openclaw')}, Prefect {prefect}, Python {python}"
    needed = (Requirement(line) for line in requires("prefect-openclaw") or ())
    supported = next((need.specifier for need in needed if need.name == "prefect"), None)
    if supported is None or prefect in supported:
        yield Finding("versions", State.OK, f"{ours}.")
    else:
        found = f"{ours}; supported is Prefect {supported}."
        yield Finding("versions", State.PROBLEM, found, f"pip install 'prefect{supported}'")


def home() -> Iterator[Finding]:
    """The folder of all data: there, writable, private, on a disk with room."""
    folder = settings.home()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield Finding("home", State.PROBLEM, f"{there} is no folder to write to.", "Set OCS_HOME to another folder")
    elif there != folder:
        yield Finding("home", State.OK, f"{folder} is made when it is needed.")
    elif not is_private(folder):
        found = f"{folder} can be read by other users."
        if is_ours_alone(folder):
            mend = f"chmod 700 {_quoted(folder)}"
            yield Finding("home", State.WARNING, found, mend, lambda: folder.chmod(0o700))
        else:
            yield Finding("home", State.WARNING, found, "Set OCS_HOME to a folder of its own")
    else:
        yield Finding("home", State.OK, f"{folder} is writable, and yours only.")
    yield _disk(there, folder)


def data() -> Iterator[Finding]:
    """How much is kept."""
    folder = settings.home()
    store = _store_path()
    sizes = {
        "the store": sum(_size(path) for path in _with_journals(store)) if store else 0,
        "Prefect": _size(folder / "prefect"),
        "artifacts": _size(settings.artifacts_dir()),
    }
    parts = ", ".join(f"{size / MIB:.1f} MiB in {name}" for name, size in sizes.items())
    yield Finding("data", State.OK, f"{parts}.")


def store_file() -> Iterator[Finding]:
    """The store's SQLite file: private and whole. A store in Postgres is looked at by `store_content` alone."""
    path = _store_path()
    if path is None:
        return
    # What was written last stands in files beside it, which took over its mode.
    if not all(is_private(each) for each in _with_journals(path)):
        found = f"{path} can be read by other users, and holds what jobs printed."
        mend = f"chmod 600 {_quoted(path)}*"
        mends = lambda: [each.chmod(0o600) for each in _with_journals(path)]  # noqa: E731
        yield Finding("store file", State.PROBLEM, found, mend, mends)
    yield _whole("store file", path)


def password_file() -> Iterator[Finding]:
    """The embedded server's password: whoever has read it keeps it until there is another."""
    from ocs.server.password import file_of

    path = file_of(settings.home())
    if path.exists() and not is_private(path):
        found = f"{path} can be read by other users; starting again makes another password."
        yield Finding("password", State.PROBLEM, found, session.SHUT)


def prefect_file() -> Iterator[Finding]:
    """The database of the embedded server."""
    path = settings.home() / "prefect" / "prefect.db"
    if path.exists():
        yield _whole("history", path)


def gateway() -> Iterator[Finding]:
    """The OpenClaw gateway, where one is named. Its address may hold a password: only host and port are shown."""
    url = os.environ.get("OPENCLAW_GATEWAY_URL")
    if not url:
        return
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        host = port = None
    if not host or not port:
        mend = "export OPENCLAW_GATEWAY_URL=ws://127.0.0.1:18789"
        yield Finding("gateway", State.PROBLEM, "OPENCLAW_GATEWAY_URL is not an address.", mend)
        return
    try:
        socket.create_connection((host, port), GATEWAY_PATIENCE).close()
    except OSError as away:
        found = f"The OpenClaw gateway at {host}:{port} does not answer: {away.strerror or away}."
        yield Finding("gateway", State.PROBLEM, found, "openclaw gateway status")
        return
    if os.environ.get("OPENCLAW_GATEWAY_TOKEN"):
        yield Finding("gateway", State.OK, f"{host}:{port} answers, and a token is set.")
    else:
        found = f"{host}:{port} answers, and OPENCLAW_GATEWAY_TOKEN is not set."
        yield Finding("gateway", State.WARNING, found, "Set OPENCLAW_GATEWAY_TOKEN")


def job_files() -> Iterator[Finding]:
    """The catalogue of the project one stands in, and the prefect.yaml made from it."""
    if not session.has_project():
        yield Finding("project", State.OK, "You do not stand in a project.")
        return
    from deployments import prefect_yaml
    from deployments.buildable import not_built
    from ocs.spec import unsupported

    found = session.catalogue()
    for problem in found.problems:
        yield Finding("project", State.PROBLEM, str(problem), "ocs jobs validate")
    for job in found.jobs.values():
        for problem in unsupported(job):
            yield Finding("project", State.PROBLEM, f"{job.id}: {problem}", f"ocs jobs edit {job.id}")
        for problem in not_built(job):
            yield Finding("project", State.PROBLEM, f"{job.id}: {problem}", f"ocs jobs edit {job.id}")
    if found.problems:
        return
    path = found.project / "prefect.yaml"
    if path.read_text(encoding="utf-8", errors="replace") != prefect_yaml.text(found):
        stale = "prefect.yaml is not what the job files say."
        yield Finding("project", State.WARNING, stale, "ocs deploy", lambda: prefect_yaml.regenerate(found))
    else:
        yield Finding("project", State.OK, f"{found.name}: {count_of(len(found.jobs), 'job')}, all valid.")


def schema() -> Iterator[Finding]:
    """The project's copy of the schema, by which editors check job files; a new version knows new keys."""
    from ocs.cli.commands.project import SCHEMA, schema_text

    if not session.has_project():
        return
    path = settings.project_dir() / SCHEMA
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") != schema_text():
        found = f"{path} is that of another version: editors mark what this one takes."
        mend = f"ocs schema job > {_quoted(path)}"
        yield Finding("project", State.WARNING, found, mend, lambda: path.write_text(schema_text(), encoding="utf-8"))


def extensions() -> Iterator[Finding]:
    """What installed packages bring: whether all of it can be loaded, what is imported only where jobs run included."""
    from ocs.extensions import brings_transports, imported
    from ocs.spec.strategy import STRATEGIES

    yield from _broken(STRATEGIES)
    for name, strategy in STRATEGIES.brought().items():
        try:
            imported(strategy.run)
        except Unusable as unusable:
            found = f"Jobs with run.{name} fail: {unusable.message}"
            yield Finding("extensions", State.PROBLEM, found, "Mend the package, and start the worker again")
        else:
            yield Finding("extensions", State.OK, f"The strategy {name} is installed.")
    if brings_transports():
        from blocks.kind import KINDS  # imports Prefect, which makes folders

        yield from _broken(KINDS)
        for name in KINDS.brought():
            yield Finding("extensions", State.OK, f"The kind of target {name} is installed.")


def _broken(found: Extensions[Any]) -> Iterator[Finding]:
    for problem in found.problems():
        yield Finding("extensions", State.PROBLEM, problem, "Mend or uninstall the package, and start the worker again")


def _disk(there: Path, folder: Path) -> Finding:
    disk = shutil.disk_usage(there)
    found = f"{disk.free / GIB:.1f} GiB are free on the disk of {folder}."
    mend = f"du -sh {_quoted(folder)}/*"
    if is_short(free=disk.free, total=disk.total):
        short = f"{found} Large outputs of jobs are not kept whole until {reserve(disk.total) // MIB:,} MiB are free."
        return Finding("disk", State.PROBLEM, short, mend)
    if disk.free < LITTLE_DISK:
        return Finding("disk", State.WARNING, found, mend)
    return Finding("disk", State.OK, found)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 for what is not there, or just went away."""
    with contextlib.suppress(OSError):
        if not path.is_dir():
            return path.stat().st_size
        return sum(_size(Path(folder) / name) for folder, _, names in os.walk(path) for name in names)
    return 0


def _store_path() -> Path | None:
    """The store's SQLite file, where it is a file that is there; one in memory is none, and neither is a folder."""
    url = settings.store_url()
    path = Path(url.partition("///")[2])
    return path if url.startswith("sqlite") and path.is_file() else None


def _with_journals(path: Path) -> list[Path]:
    beside = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))
    return [path, *(each for each in beside if each.exists())]


def _whole(check: str, path: Path) -> Finding:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as failed:
        if getattr(failed, "sqlite_errorcode", 0) & PRIMARY not in DAMAGE:
            # Locked, or not to be read: nothing says that it is damaged, so nobody is told to move it away.
            found = f"{path} cannot be examined: {failed}."
            return Finding(check, State.PROBLEM, found, f"fuser -v {_quoted(path)}; ls -l {_quoted(path)}")
        said = str(failed)
    if said == "ok":
        return Finding(check, State.OK, f"{path} is whole.")
    mend = f"ocs down; move {_quoted(path)} away or restore it from a backup; ocs up"
    return Finding(check, State.PROBLEM, f"{path} is damaged: {said}", mend)


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
