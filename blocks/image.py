"""An image as couriers attach it: read when it is sent, or a sentence that says why it cannot be."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    kind: str
    data: bytes


def read(path: Path, most: int) -> Image | str:
    """The image at `path` when it is one and has at most so many bytes; else why it is not attached, and where it is.

    A job names the path, so whatever does not look like an image stays where it is.
    """
    kind, _ = mimetypes.guess_type(path.name)
    if kind is None or not kind.startswith("image/"):
        return f"Not attached, because its name is not that of an image: {path}"
    try:
        size = path.stat().st_size
        if size > most:
            return f"Not attached, because it has {size:,} bytes and the limit is {most:,}: {path}"
        return Image(path.name, kind, path.read_bytes())
    except OSError as failed:
        return f"Not attached ({failed.strerror}): {path}"
