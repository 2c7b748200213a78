"""The file of a backup: a zip with a manifest that names every member, its size and its checksum.

Nothing in it is trusted. A member is read only where the manifest names it, as far as it says and into a file of ours;
no member's name becomes a path but those of job files, which are checked.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import IO, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from ocs.errors import NotFound, Refused
from ocs.files import open_file
from ocs.service import session

FORMAT = 1
MANIFEST = "manifest.json"
STORE, SERVER, PROJECT, PLACES = "store", "server", "project/", "places/"
PLACE = re.compile(rf"{PLACES}[\w%~-][\w%~.-]*\.folder", re.ASCII)
"""The note of a project's folder."""
CHUNK = 2**20
LARGEST_MANIFEST = 16 * 2**20
MOST_MEMBERS = 20_000
LONGEST_NAME, LONGEST_PART = 1000, 255
"""Of a member, in characters, and of a file or folder in it, in bytes: more is on no usual disk."""
YEARS = range(2000, 9999)
"""In which a backup can have been made, and any time zone can say so."""
CLOCKS_DIFFER = timedelta(days=1)
"""How far ahead the clock of the machine that made a backup may be."""
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
BROKEN = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeError)
"""What Python says of a zip that is cut off, damaged, or of a kind that we never write."""

Progress = Callable[[str, int, int], None]
"""Hears what is done, and how much of how much of it, in bytes."""
Database = Literal["sqlite", "postgres"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Document):
    """One thing in a backup."""

    name: str = Field(max_length=LONGEST_NAME)
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Key(_Document):
    """The key that the server's blocks are encrypted with: inside the backup, or in the environment only.

    `fingerprint` tells one key from another and does not help to guess it; None while the server has made none yet.
    """

    where: Literal["inside", "environment"]
    fingerprint: str | None = None


class Manifest(_Document):
    """What is in a backup. `made_at` is the moment that it shows; `made_by` the run that made it, if one did."""

    format: int
    version: str = Field(max_length=100)
    prefect: str = Field(max_length=100)
    project: str | None
    made_at: AwareDatetime
    made_by: UUID | None = None
    store: Database | None
    server: Database | None
    key: Key | None = None
    secrets: int = 0
    left_out: tuple[str, ...] = ()
    members: tuple[Member, ...] = ()

    @field_validator("prefect")
    @classmethod
    def _is_a_version(cls, given: str) -> str:
        from packaging.version import Version

        Version(given)
        return given

    @field_validator("made_at")
    @classmethod
    def _is_of_our_time(cls, given: datetime) -> datetime:
        if given.year not in YEARS:
            raise ValueError("no backup was made then")
        return given

    def has(self, name: str) -> bool:
        return any(member.name == name for member in self.members)


class Writing:
    """A backup that is being written."""

    def __init__(self, opened: zipfile.ZipFile, on_progress: Progress) -> None:
        self._zip = opened
        self._on_progress = on_progress
        self.members: list[Member] = []

    def add(self, name: str, source: Path) -> None:
        """Put a file into it."""
        total = source.stat().st_size
        with source.open("rb") as file, self._zip.open(self._entry(name), "w", force_zip64=True) as entry:
            digest, size = _copied(file, entry, total, lambda done: self._on_progress(f"packing {name}", done, total))
        self.members.append(Member(name=name, size=size, sha256=digest))

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, which names the members."""
        text = manifest.model_copy(update={"members": tuple(self.members)}).model_dump_json(indent=2)
        self._zip.writestr(self._entry(MANIFEST), text)

    @staticmethod
    def _entry(name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name)
        entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
        return entry


@contextmanager
def written(path: Path, work: Path, on_progress: Progress) -> Generator[Writing]:
    """Write a backup in a folder of its disk; verified and there for good, it gets its name. What fails leaves nothing.

    Raises:
        Refused: it cannot be written, or is not what was written.
    """
    handle, name = tempfile.mkstemp(dir=work)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
                yield Writing(opened, on_progress)
            file.flush()
            os.fsync(file.fileno())
        verify(temporary, on_progress)
        temporary.replace(path)
        _onto_the_disk(path.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def verify(path: Path, on_progress: Progress = lambda _doing, _done, _total: None) -> Manifest:
    """Read all of a backup, and compare it with its manifest.

    Raises:
        NotFound, Refused: there is none, or something in it is not as its manifest says.
    """
    with _opened(path) as opened:
        manifest = _manifest(opened, path)
        for member in manifest.members:
            with _told(path), opened.open(member.name) as entry:
                _compare(member, *_copied(entry, None, member.size, _part(on_progress, "verifying", member)), path)
    return manifest


def read_manifest(path: Path) -> Manifest:
    """What a backup says that is in it; whether that is so only `verify` tells.

    Raises:
        NotFound, Refused: there is none, or none that this program reads.
    """
    with _opened(path) as opened:
        return _manifest(opened, path)


def unpack(path: Path, into: Path, on_progress: Progress) -> tuple[Manifest, Mapping[str, Path]]:
    """Verify a backup, and put its members into files of an empty folder, under names of ours.

    Raises:
        NotFound, Refused: as `verify`; there may be members in the folder all the same.
    """
    files: dict[str, Path] = {}
    with _opened(path) as opened:
        manifest = _manifest(opened, path)
        for number, member in enumerate(manifest.members):
            files[member.name] = into / str(number)
            with _told(path), opened.open(member.name) as entry, open_file(files[member.name], "xb") as file:
                _compare(member, *_copied(entry, file, member.size, _part(on_progress, "unpacking", member)), path)
    return manifest, files


def project_path(name: str) -> PurePosixPath | None:
    """Where in a project a member belongs; None of one that belongs nowhere in it."""
    path = PurePosixPath(name.removeprefix(PROJECT))
    if len(name) > LONGEST_NAME:
        return None
    inside = str(path) == "prefect.yaml" or (len(path.parts) > 1 and path.parts[0] == "deployments")
    plain = all(_is_plain(part) for part in path.parts)
    return path if name == f"{PROJECT}{path}" and inside and plain and not path.is_absolute() else None


def _is_plain(part: str) -> bool:
    """Whether a file or a folder can be called so on any disk, and nothing else is meant by it."""
    fits = part.isprintable() and len(part.encode()) <= LONGEST_PART
    return fits and part not in (".", "..") and "\\" not in part


def _manifest(opened: zipfile.ZipFile, path: Path) -> Manifest:
    entries = opened.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MOST_MEMBERS or len({*names}) < len(names) or MANIFEST not in names:
        raise _no_backup(path)
    with _told(path), opened.open(MANIFEST) as entry:
        text = entry.read(LARGEST_MANIFEST + 1)
    if len(text) > LARGEST_MANIFEST:
        raise _no_backup(path)
    _check_format(text, path)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as wrong:
        raise _no_backup(path) from wrong
    _check_members(manifest, entries, path)
    return manifest


class _Format(BaseModel):
    format: int


def _check_format(text: bytes, path: Path) -> None:
    """Before anything else in it is understood: another format says what it says in another way."""
    try:
        found = _Format.model_validate_json(text).format
    except ValidationError as wrong:
        raise _no_backup(path) from wrong
    if found != FORMAT:
        hint = "Update ocs." if found > FORMAT else "Restore it with the version that made it, then update ocs."
        raise Refused(f"{path} is a backup of format {found}, and this ocs reads format {FORMAT}.", hint=hint)


def _check_members(manifest: Manifest, entries: Sequence[zipfile.ZipInfo], path: Path) -> None:
    sizes = {entry.filename: entry.file_size for entry in entries if entry.filename != MANIFEST}
    named = {member.name: member.size for member in manifest.members}
    if sizes != named or len(named) < len(manifest.members):
        raise Refused(f"{path} does not hold what its manifest names.", hint="Take another one: ocs backup list")
    if any(entry.compress_type not in METHODS for entry in entries) or not all(map(_belongs, named)):
        raise _no_backup(path)
    if any(str(folder) in named for name in named for folder in PurePosixPath(name).parents):
        raise Refused(f"{path} holds a file and a folder of one name.", hint="Take another one: ocs backup list")
    if manifest.made_at > session.now() + CLOCKS_DIFFER:
        made = manifest.made_at.isoformat(timespec="seconds")
        raise Refused(f"{path} says that it was made in the future ({made}).", hint="Look at the clock: date")
    kinds = {STORE: manifest.store, SERVER: manifest.server}
    if any((kind is not None) != (name in named) for name, kind in kinds.items()):
        raise _no_backup(path)


def _belongs(name: str) -> bool:
    if name.startswith(PROJECT):
        return project_path(name) is not None
    fits = len(name) <= len(PLACES) + LONGEST_PART
    return name in (STORE, SERVER) or (fits and PLACE.fullmatch(name) is not None)


@contextmanager
def _opened(path: Path) -> Generator[zipfile.ZipFile]:
    if not path.is_file():
        raise NotFound(f"There is no backup {path}.", hint="See them: ocs backup list")
    try:
        opened = zipfile.ZipFile(path)
    except OSError as failed:
        raise Refused(f"{path} cannot be read: {failed.strerror}.") from failed
    except (*BROKEN, ValueError) as broken:
        raise _no_backup(path) from broken
    with opened:
        yield opened


@contextmanager
def _told(path: Path) -> Generator[None]:
    """Damage in the middle of a file is told as what it is."""
    import zlib

    try:
        yield
    except (*BROKEN, zlib.error) as broken:
        raise Refused(f"{path} is damaged: {broken}.", hint="Take another one: ocs backup list") from broken


def _no_backup(path: Path) -> Refused:
    return Refused(f"{path} is cut off, or no backup of ocs.", hint="Take another one: ocs backup list")


def _compare(member: Member, digest: str, size: int, path: Path) -> None:
    if (digest, size) != (member.sha256, member.size):
        said = f"{path}: {member.name} has another checksum than when it was written."
        raise Refused(said, hint="It was changed or damaged; take another one: ocs backup list")


def _copied(source: IO[bytes], target: IO[bytes] | None, most: int, on_bytes: Callable[[int], None]) -> tuple[str, int]:
    """Checksum and size; no more than `most` bytes and one are read, whatever the source holds."""
    digest, size = hashlib.sha256(), 0
    while size <= most and (chunk := source.read(min(CHUNK, most + 1 - size))):
        digest.update(chunk)
        size += len(chunk)
        if target is not None:
            target.write(chunk)
        on_bytes(size)
    return digest.hexdigest(), size


def _part(on_progress: Progress, doing: str, member: Member) -> Callable[[int], None]:
    return lambda done: on_progress(f"{doing} {member.name}", done, member.size)


def _onto_the_disk(folder: Path) -> None:
    """A new name in a folder is only safe when the folder is written."""
    with suppress(OSError):  # not everywhere
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def stamp(moment: datetime) -> str:
    """As file names say it; their order is that of time."""
    return f"{moment:%Y%m%dT%H%M%SZ}"
