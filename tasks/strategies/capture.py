"""Capture one stream of a job: as a terminal shows it, masked, live line by line, and whole in a file when large."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ocs.files import make_folder, open_file
from ocs.rules.dispatch import StreamOutput
from ocs.rules.masking import Masker, Masking
from ocs.rules.shell_result import MARK, cut
from ocs.rules.terminal import ShownPieces
from ocs.spec import Output
from tasks.strategies.live import LiveLines

PIECE = 64 * 1024


class Capture:
    """What one stream said. `keep` bytes of its beginning and as many of its end stay in memory.

    What was meant for a terminal is resolved first and secrets are masked next, before anything goes anywhere: so a
    colour code in a secret hides it from nobody who masks, and log, file, store and messages say the same.
    """

    def __init__(self, path: Path, *, keep: int, offload: int, secrets: Masking, show: Callable[[str], None]) -> None:
        self.bytes = 0
        self.path: Path | None = None
        self.trouble: str | None = None
        self._target = path
        self._keep = keep
        self._offload = offload
        self._shown = ShownPieces()
        self._masker = Masker(secrets)
        self._live = LiveLines(show)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._taken = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._until_offload = bytearray()
        self._file: IO[bytes] | None = None

    async def read(self, pipe: IO[bytes]) -> None:
        """Take in everything until the stream ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=PIECE)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        try:
            while piece := await reader.read(PIECE):
                self.feed(piece)
        finally:
            transport.close()

    def feed(self, piece: bytes) -> None:
        """Take in the next piece."""
        self.bytes += len(piece)
        self._take(self._masker.feed(self._shown.feed(piece)))

    def finish(self) -> None:
        """No more will come: what was held back is taken in, and the file, if there is one, is complete."""
        self._take(self._masker.feed(self._shown.flush()) + self._masker.flush())
        self._live.feed(_printable(self._decoder.decode(b"", final=True)))
        self._live.finish()
        if self._file is not None:
            self._file.close()

    @property
    def text(self) -> str:
        """All of it, or its beginning and its end."""
        if len(self._head) + len(self._tail) >= self._taken:
            return _printable(bytes(self._head + self._tail).decode(errors="replace"))
        return _printable(self._head.decode(errors="ignore") + MARK + self._tail.decode(errors="ignore"))

    def stored(self, text: str, output: Output) -> StreamOutput:
        """What the store keeps of it, of which `text` is the readable part."""
        limit = min(output.store, output.excerpt) if self.path else output.store
        kept = cut(text, limit)
        path = str(self.path) if self.path else None
        return StreamOutput(kept, self.bytes, path, truncated=kept != text or path is not None)

    def _take(self, piece: bytes) -> None:
        if not piece:
            return
        self._taken += len(piece)
        self._live.feed(_printable(self._decoder.decode(piece)))
        room = self._keep - len(self._head)
        self._head += piece[:room]
        if len(piece) > room:
            self._tail += piece[room:]
            del self._tail[: max(0, len(self._tail) - self._keep)]
        self._write(piece)

    def _write(self, piece: bytes) -> None:
        """Small outputs never touch the disk; a large one is in the file from its first byte."""
        if self.trouble is not None:
            return
        if self._file is None:
            self._until_offload += piece
            if len(self._until_offload) <= self._offload:
                return
            piece = bytes(self._until_offload)
            self._until_offload.clear()
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(piece)
        except OSError as failed:
            self.trouble = f"Its whole output could not be kept in {self._target}: {failed.strerror}."
            self.path = None

    def _open(self) -> IO[bytes]:
        make_folder(self._target.parent)
        file = open_file(self._target, "wb")
        self.path = self._target
        return file


def _printable(text: str) -> str:
    """Postgres takes no NUL in a text, be it the store's or Prefect's; the file has it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
