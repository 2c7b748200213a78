"""The kind of target `file`: each message is a line of JSON at the end of a file, such as a log that others watch."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from blocks.kind import Fields, TargetKind
from blocks.transport import Part, Transport, Undelivered


class FileTransport:
    """To the end of one file."""

    limit = None  # a message of any length is one message
    has_subject = True  # which has a place of its own
    takes_images = False  # the text says where they are

    def __init__(self, path: Path) -> None:
        self._path = path

    async def send(self, part: Part) -> None:
        """Write it down; when this returns, it has arrived."""
        line = json.dumps({"key": part.key, "subject": part.subject, "text": part.text, **part.about})
        try:
            await asyncio.to_thread(self._append, line)
        except OSError as failed:
            raise Undelivered(f"{self._path} cannot be written: {failed.strerror}.") from failed

    def _append(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def path_of(target: Fields) -> Path:
    """Which file it is."""
    return Path(unquote(urlsplit(target.url.get_secret_value()).path))


async def transport(target: Fields) -> Transport:
    """What sends to it."""
    return FileTransport(path_of(target))


def check(target: Fields) -> None:
    """Refuse what cannot work."""
    if urlsplit(target.url.get_secret_value()).scheme != "file" or not path_of(target).is_absolute():
        raise ValueError("The URL of a file is written file:///var/log/jobs.jsonl.")


FILE = TargetKind(("url",), lambda target: str(path_of(target)), transport, check)
