"""Server-sent events, taken from a stream piece by piece, in bounded memory."""

from __future__ import annotations

LONGEST_EVENT = 16 * 1024**2
"""Bytes of one event; a reply that comes in one piece fits."""


class TooLong(Exception):
    """An event did not end within LONGEST_EVENT."""


class EventStream:
    """Feed it the pieces of a response; it gives the data of each event that is complete."""

    def __init__(self) -> None:
        self._unfinished = bytearray()
        self._searched = 0
        self._data: list[str] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[str]:
        """The data of the events that this piece completes.

        Raises:
            TooLong: the event it belongs to is longer than LONGEST_EVENT.
        """
        self._unfinished += piece
        complete: list[str] = []
        while (end := self._unfinished.find(b"\n", self._searched)) >= 0:
            line = bytes(self._unfinished[:end]).rstrip(b"\r")
            del self._unfinished[: end + 1]
            self._searched = 0
            if (data := self._take(line)) is not None:
                complete.append(data)
        self._searched = len(self._unfinished)
        if self._size + len(self._unfinished) > LONGEST_EVENT:
            raise TooLong
        return complete

    def _take(self, line: bytes) -> str | None:
        """A line of an event; an empty one ends it. Comments and other fields are of no use here."""
        if not line:
            data, self._data, self._size = self._data, [], 0
            return "\n".join(data) if data else None
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" ").decode(errors="replace"))
            self._size += len(line)  # so that empty lines without end are too long in the end
        return None
