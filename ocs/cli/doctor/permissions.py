"""What `ocs doctor` looks at of files: who else reads what we write, and who else can change what runs here."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from ocs import settings
from ocs.cli.doctor.project import Finding, State
from ocs.files import is_private
from ocs.rules.wording import count_of
from ocs.service import session

NOT_WRITTEN_BY_US = ("prefect", "client", "before-restore-")
"""How folders of OCS_HOME begin that Prefect writes, or that hold what was somewhere else before."""
MOST = 50_000
"""So many files are looked at; outputs of jobs can be many more, and are written as all others are."""
CHANGED_BY_ALL, CHANGED_BY_GROUP = stat.S_IWOTH, stat.S_IWGRP


def files() -> Iterator[Finding]:
    """What is in OCS_HOME: each file of it would be readable where the folder is opened for a moment."""
    home = settings.home()
    if not home.is_dir():
        return
    written = (path for path in _below(home) if not path.relative_to(home).parts[0].startswith(NOT_WRITTEN_BY_US))
    open_ones = [path for path in islice(written, MOST) if _is_ours(path) and not is_private(path)]
    if open_ones:
        found = f"{count_of(len(open_ones), 'file')} in {home} can be read by others, such as {open_ones[0]}."
        mend = f"chmod -R go-rwx {shlex.quote(str(home))}"
        yield Finding("files", State.WARNING, found, mend, _without(open_ones, stat.S_IRWXG | stat.S_IRWXO))
    else:
        yield Finding("files", State.OK, "What is kept is readable by you only.")


def project_files() -> Iterator[Finding]:
    """Who can change a job file runs commands as you."""
    if not session.has_project():
        return
    project = settings.project_dir()
    looked_at = [project, project / settings.MAINTAINED_FILES[0], *islice(_below(project / "deployments"), MOST)]
    open_ones = [path for path in looked_at if _is_changed_by_others(path)]
    if not open_ones:
        return
    found = f"Other users can change {_named(open_ones)}: they could run commands as you."
    mend = f"chmod -R go-w {shlex.quote(str(project))}"
    yield Finding("files", State.PROBLEM, found, mend, _without(open_ones, CHANGED_BY_ALL | CHANGED_BY_GROUP))


def _below(folder: Path) -> Iterator[Path]:
    """Everything in a folder, and the folders in it; no link is followed."""
    for within, folders, names in os.walk(folder):
        for name in (*folders, *names):
            yield Path(within) / name


def _is_ours(path: Path) -> bool:
    """A link's own mode means nothing, and what just went away is no matter."""
    with suppress(OSError):
        return not path.is_symlink() and path.lstat().st_uid == os.geteuid()
    return False


def _is_changed_by_others(path: Path) -> bool:
    """A group that is its owner's alone, as many systems make one for each user, is nobody else."""
    with suppress(OSError):
        found = path.lstat()
        by_group = bool(found.st_mode & CHANGED_BY_GROUP) and found.st_gid != os.getegid()
        return not path.is_symlink() and (bool(found.st_mode & CHANGED_BY_ALL) or by_group)
    return False


def _named(paths: Sequence[Path]) -> str:
    more = len(paths) - 1
    return f"{paths[0]}" + (f" and {count_of(more, 'more file')}" if more else "")


def _without(paths: Sequence[Path], bits: int) -> Callable[[], None]:
    """Take rights away; what is not ours is told by the error."""

    def mend() -> None:
        for path in paths:
            with suppress(FileNotFoundError):
                path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~bits)

    return mend
