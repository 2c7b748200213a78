"""What is kept between commands under OCS_HOME to save work: never needed, safe to delete, believed only when whole."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast

from ocs import settings
from ocs.files import is_private, make_folder

FOLDER = "cache"


def digest(text: str) -> str:
    """A fingerprint of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_of(project: Path, kind: str) -> Path:
    """Where something of that kind is kept for a project."""
    called = hashlib.sha256(str(project.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return settings.home() / FOLDER / f"{called}.{kind}.json"


def read(file: Path) -> dict[str, Any]:
    """What is kept there; nothing where the file is not whole, or others could have written it."""
    try:
        said, _, body = file.read_text(encoding="utf-8").partition("\n") if is_private(file) else ("", "", "")
        kept: Any = json.loads(body) if said == digest(body) else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}


def write(file: Path, kept: Mapping[str, Any]) -> None:
    """Keep it; where the disk is full or the folder not ours, nothing is kept. A home that is not there is not made."""
    if not settings.home().is_dir():
        return
    body = json.dumps(kept)
    with contextlib.suppress(OSError), _in_its_place(file) as temporary:
        temporary.write_text(f"{digest(body)}\n{body}", encoding="utf-8")


@contextlib.contextmanager
def _in_its_place(file: Path) -> Generator[Path]:
    """A new private file that takes the place of the old one once it is whole."""
    make_folder(file.parent)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with open(handle, "wb"):  # noqa: PTH123  a handle has no path
        temporary = Path(name)
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
