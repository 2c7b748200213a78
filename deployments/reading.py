"""Files that people name or put into the catalogue: only regular ones, only so much of them, only text."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO

from ocs.errors import InvalidJob, Problem
from ocs.spec import format_size

LARGEST = 2**20
"""No job is longer: its command may have 100,000 characters."""


def read_text(path: Path, shown: str) -> str:
    """A file's text; `shown` is what messages call it. A link is followed: what it leads to has to be a regular file.

    Raises:
        InvalidJob: it cannot be read, is no regular file, too large, or not UTF-8 text.
    """
    return decoded(read_bytes(path, shown), shown)


def read_bytes(path: Path, shown: str) -> bytes:
    """The same before it is text.

    Raises:
        InvalidJob: it cannot be read, is no regular file, or too large.
    """
    raw = _beginning(path, shown)
    if len(raw) > LARGEST:
        raise _too_large(shown)
    return raw


def read_beginning(path: Path, shown: str) -> str:
    """The first megabyte of a file's text, however long that is.

    Raises:
        InvalidJob: it cannot be read, is no regular file, or not UTF-8 text.
    """
    raw = _beginning(path, shown)
    return decoded(raw, shown) if len(raw) <= LARGEST else _decoded_up_to_a_cut(raw, shown)


def first_bytes(path: Path, shown: str, count: int) -> bytes:
    """So many bytes of a file's beginning, or all of a shorter one.

    Raises:
        InvalidJob: it cannot be read, or is no regular file.
    """
    return _beginning(path, shown, count)


def _decoded_up_to_a_cut(raw: bytes, shown: str) -> str:
    """The cut may have halved the last character."""
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError as binary:
        raise _binary(shown) from binary


def _beginning(path: Path, shown: str, count: int = LARGEST + 1) -> bytes:
    try:
        # A device is not even opened, and a pipe that nobody writes to is not waited for.
        _refuse_special(path.stat().st_mode, shown)
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            _refuse_special(os.fstat(handle).st_mode, shown)
            return file.read(count)
    except OSError as failed:
        raise unreadable(shown, f"cannot be read: {failed.strerror}") from failed
    except ValueError as wrong:  # a name with a NUL in it
        raise unreadable(shown, f"cannot be read: {wrong}") from wrong


def read_input(shown: str) -> str:
    """What stands on standard input.

    Raises:
        InvalidJob: it is too large, or not UTF-8 text.
    """
    return decoded(_bounded(sys.stdin.buffer, shown), shown)


def decoded(raw: bytes, shown: str) -> str:
    """Bytes as text.

    Raises:
        InvalidJob: they are none.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as binary:
        raise _binary(shown) from binary


def unreadable(shown: str, why: str, line: int | None = None) -> InvalidJob:
    """What is said of a file that is not read."""
    return InvalidJob(f"{shown} cannot be read.", problems=[Problem("", why, shown, line)])


def _bounded(file: BinaryIO, shown: str) -> bytes:
    raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise _too_large(shown)
    return raw


def _binary(shown: str) -> InvalidJob:
    return unreadable(shown, "is not UTF-8 text; save it as UTF-8", 1)


def _too_large(shown: str) -> InvalidJob:
    return unreadable(shown, f"is larger than {format_size(LARGEST)}")


def _refuse_special(mode: int, shown: str) -> None:
    if stat.S_ISDIR(mode):
        raise unreadable(shown, f"cannot be read: {os.strerror(errno.EISDIR)}")
    if not stat.S_ISREG(mode):
        raise unreadable(shown, "is no regular file but a pipe, a socket or a device; write its text into a file")
