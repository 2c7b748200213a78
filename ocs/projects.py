"""Where projects are on this host: a rollout notes its project's folder, and jobs without a `cwd` start there."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from ocs import settings
from ocs.files import make_folder, open_file


def remember(name: str, folder: Path) -> None:
    """Note that the project of that name is in that folder of this host."""
    noted, text = _note(name), str(folder.resolve())
    if noted.exists() and noted.read_text(encoding="utf-8") == text:
        return
    make_folder(noted.parent)
    fresh = noted.with_suffix(".new")
    with open_file(fresh, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(noted)


def folder_of(name: str | None) -> Path | None:
    """The project's folder; None on a host that does not have it."""
    try:
        folder = Path(_note(name).read_text(encoding="utf-8")) if name else None
    except OSError:
        return None
    return folder if folder is not None and folder.is_dir() else None


def _note(name: str) -> Path:
    return settings.home() / "projects" / f"{quote(name, safe='')}.folder"
