"""A large output whole in a file: of a very large one its beginning and end, and only while there is room."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import IO

from ocs.files import make_folder, open_file
from ocs.rules.disk import MIB, is_short
from ocs.spec import Output, format_size

TAIL = 256 * 1024
"""How much of the end of a very large output is kept; its beginning gets the rest."""


class WholeOutput:
    """Small outputs never touch the disk; a large one is in the file from its first byte.

    `path` is the file, if there is one, `trouble` a sentence on what of the output it lacks, `dropped` how many bytes.
    It deletes a file that it cannot finish: nothing would ever refer to it.
    """

    def __init__(self, target: Path, output: Output) -> None:
        self.path: Path | None = None
        self.trouble: str | None = None
        self.dropped = 0
        self._target = target
        self._output = output
        self._longest_tail = min(TAIL, output.keep // 2)
        self._until_offload = bytearray()
        self._tail = bytearray()
        self._written = self._looked_at = 0
        self._file: IO[bytes] | None = None

    def write(self, piece: bytes) -> None:
        """Take in the next piece."""
        if self.trouble is not None:
            return
        if self._file is None:
            self._until_offload += piece
            if len(self._until_offload) <= self._output.offload:
                return
            piece = bytes(self._until_offload)
            self._until_offload.clear()
        with self._given_up_when_it_fails():
            self._take(self._file or self._open(), piece)

    def finish(self) -> None:
        """No more will come: the end is put behind the beginning."""
        if self._file is None or self.trouble is not None:
            return
        with self._given_up_when_it_fails():
            self._drop(len(self._tail) - self._longest_tail)
            if self.dropped:
                self._file.write(f"\n[... {self.dropped:,} bytes are left out here ...]\n".encode())
            self._file.write(self._tail)
            self._file.close()
            if self.dropped:
                self.trouble = (
                    f"{self.dropped:,} bytes in the middle of its {self._target.stem} were not kept: "
                    f"output.keep is {format_size(self._output.keep)}."
                )

    def _take(self, file: IO[bytes], piece: bytes) -> None:
        room = max(0, self._output.keep - self._longest_tail - self._written)
        if room:
            self._look_for_room(len(piece))
            self._written += file.write(piece[:room])
        self._tail += piece[room:]
        if len(self._tail) > 2 * self._longest_tail:
            self._drop(len(self._tail) - self._longest_tail)

    def _drop(self, count: int) -> None:
        if count > 0:
            self.dropped += count
            del self._tail[:count]

    def _look_for_room(self, more: int) -> None:
        """At first, and for every further MiB."""
        if 0 < self._written < self._looked_at + MIB:
            return
        self._looked_at = self._written
        disk = shutil.disk_usage(self._target.parent)
        if is_short(free=disk.free - more, total=disk.total):
            raise OSError(errno.ENOSPC, f"only {disk.free // MIB:,} MiB are free on that disk; make room there")

    def _open(self) -> IO[bytes]:
        make_folder(self._target.parent)
        self._file = open_file(self._target, "wb")
        self.path = self._target
        return self._file

    @contextlib.contextmanager
    def _given_up_when_it_fails(self) -> Generator[None]:
        try:
            yield
        except OSError as failed:
            self.trouble = f"Its whole output could not be kept in {self._target}: {failed.strerror}."
            self.path, self.dropped = None, 0
            self._tail.clear()
            with contextlib.suppress(OSError):
                self._target.unlink(missing_ok=True)  # before it is closed: what is still to be written needs room
                self._target.parent.rmdir()  # unless the other stream has a file there
            if self._file is not None:
                with contextlib.suppress(OSError):
                    self._file.close()
