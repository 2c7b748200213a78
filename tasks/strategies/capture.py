"""Capture one stream of a job as a terminal shows it: masked, live line by line, and whole in a file when large."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable
from pathlib import Path
from typing import IO

from ocs.rules.dispatch import StreamOutput
from ocs.rules.masking import Masker, Masking
from ocs.rules.shell_result import MARK, cut
from ocs.rules.terminal import ShownPieces
from ocs.spec import Output
from tasks.strategies.live import LiveLines
from tasks.strategies.whole import WholeOutput

PIECE = 64 * 1024


class Capture:
    """What one stream said. As much as the store keeps of its beginning, and as much of its end, stay in memory.

    It resolves what is meant for a terminal, then masks secrets, before anything goes anywhere: so no colour code
    hides a secret from the masker, and log, file, store and messages say the same.
    """

    def __init__(self, path: Path, output: Output, *, secrets: Masking, show: Callable[[str], None]) -> None:
        self.bytes = 0
        self._output = output
        self._whole = WholeOutput(path, output)
        self._shown = ShownPieces()
        self._masker = Masker(secrets)
        self._live = LiveLines(show)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._head = bytearray()
        self._tail = bytearray()

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
        self._take(self._masker.feed(self._shown.feed(piece)))

    def finish(self) -> None:
        """No more will come: what was held back is taken in, and the file, if there is one, is complete."""
        self._take(self._masker.feed(self._shown.flush()) + self._masker.flush())
        self._live.feed(_printable(self._decoder.decode(b"", final=True)))
        self._live.finish()
        self._whole.finish()

    @property
    def path(self) -> Path | None:
        """The file of the whole, when there is one."""
        return self._whole.path

    @property
    def trouble(self) -> str | None:
        """What is missing in the file of the whole, in a sentence."""
        return self._whole.trouble

    @property
    def text(self) -> str:
        """All of it, or its beginning and its end."""
        if len(self._head) + len(self._tail) >= self.bytes:
            return _printable(bytes(self._head + self._tail).decode(errors="replace"))
        return _printable(self._head.decode(errors="ignore") + MARK + self._tail.decode(errors="ignore"))

    def stored(self, text: str) -> StreamOutput:
        """What the store keeps of it, of which `text` is the readable part."""
        kept = cut(text, min(self._output.store, self._output.excerpt) if self.path else self._output.store)
        path = str(self.path) if self.path else None
        return StreamOutput(kept, self.bytes, path, self._whole.dropped)

    def _take(self, piece: bytes) -> None:
        if not piece:
            return
        self.bytes += len(piece)
        self._live.feed(_printable(self._decoder.decode(piece)))
        room = self._output.store - len(self._head)
        self._head += piece[:room]
        if len(piece) > room:
            self._tail += piece[room:]
            del self._tail[: max(0, len(self._tail) - self._output.store)]
        self._whole.write(piece)


def _printable(text: str) -> str:
    """Postgres takes no NUL in a text, be it the store's or Prefect's; the file has it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
