"""Where backups lie: how they are called, which there are, and which are old enough to go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from ocs import settings
from ocs.errors import NotFound, OcsError
from ocs.service.backups.archive import Manifest, read_manifest, stamp

ENDING = ".backup.zip"
NAMED = re.compile(r"^(?P<whose>.+)-(?P<stamp>\d{8}T\d{6}Z)(-(?P<number>\d+))?\.backup\.zip$")


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup that lies somewhere. `manifest` is None where it cannot be read, and `problem` says why."""

    path: Path
    size: int
    manifest: Manifest | None
    problem: str | None = None


def folder(given: Path | None = None) -> Path:
    """Where backups are put and looked for."""
    return given.expanduser().absolute() if given is not None else settings.home() / "backups"


def free_name(within: Path, project: str | None, made_at: datetime) -> Path:
    """A path for a new backup, which counts as newer than all others of its second."""
    base = f"{_whose(project)}-{stamp(made_at)}"
    named = [NAMED.match(path.name) for path in within.glob(f"{base}*{ENDING}")]
    numbers = [int(name["number"] or 0) for name in named if name and f"{name['whose']}-{name['stamp']}" == base]
    return within / f"{base}{f'-{max(numbers) + 1}' if numbers else ''}{ENDING}"


def listed(within: Path) -> list[Kept]:
    """The backups of a folder, newest first."""
    found = [path for path in within.glob(f"*{ENDING}") if NAMED.match(path.name) and is_plain(path)]
    return sorted(map(_kept, found), key=lambda kept: _when(kept.path), reverse=True)


def find(given: str, within: Path) -> Path:
    """The backup that is meant: a path, or the name of one in the folder.

    Raises:
        NotFound: there is none.
    """
    for path in (Path(given).expanduser(), within / given):
        if path.is_file():
            return path
    raise NotFound(f'There is no backup "{given}".', hint="See them: ocs backup list")


def clear(within: Path, project: str | None, keep: int) -> list[Path]:
    """Remove the oldest backups of a project, so that `keep` are left; nothing else in the folder is touched."""
    ours = [
        path
        for path in within.glob(f"*{ENDING}")
        if (named := NAMED.match(path.name)) and named["whose"] == _whose(project) and is_plain(path)
    ]
    old = sorted(ours, key=_when, reverse=True)[keep:]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def _whose(project: str | None) -> str:
    return quote(project, safe=" ").replace(" ", "_") if project else "ocs"


def _when(path: Path) -> tuple[str, int]:
    """The moment in its name, and what tells those of one second apart."""
    named = NAMED.match(path.name)
    return (named["stamp"], int(named["number"] or 0)) if named else ("", 0)


def is_plain(path: Path) -> bool:
    """Whether it is a file itself: no pipe that never ends, no link to elsewhere."""
    return path.is_file() and not path.is_symlink()


def _kept(path: Path) -> Kept:
    size = path.stat().st_size
    try:
        return Kept(path, size, read_manifest(path))
    except OcsError as broken:
        return Kept(path, size, None, broken.message)
