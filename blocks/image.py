"""An image as transports attach it: its content at the moment of sending, or a sentence on why there is none."""

from __future__ import annotations

import mimetypes
import os
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    kind: str
    data: bytes


PHOTOS = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
"""What chats show, and how such a file begins."""


def read(path: Path, most: int, *, photo: bool = False) -> Image | str:
    """The image at `path` when it is one and has at most so many bytes; else why it is not attached, and where it is.

    It blocks, so call it in a thread. A job names the path, so a file that does not look like an image stays where it
    is. With `photo` it takes only what a chat shows, by its first bytes too: a chat refuses anything else, again and
    again.
    """
    kind, _ = mimetypes.guess_type(path.name)
    if kind is None or not kind.startswith("image/"):
        return f"Not attached, because its name is not that of an image: {path}"
    try:
        # A pipe would be waited for, and a device read for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                return f"Not attached, because it is not a file: {path}"
            if about.st_size > most:
                return f"Not attached, because it has {about.st_size:,} bytes and the limit is {most:,}: {path}"
            data = file.read(most)
        if photo and not data.startswith(PHOTOS.get(kind, ())):
            return f"Not attached, because it is no PNG, JPEG, GIF or WebP: {path}"
        return Image(path.name, kind, data)
    except OSError as failed:
        return f"Not attached ({failed.strerror}): {path}"
