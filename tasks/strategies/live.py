"""Output as it comes, line by line, and not more of it than a log can bear."""

from __future__ import annotations

import time
from collections.abc import Callable

AT_ONCE = 500
PER_SECOND = 20.0
LONGEST = 2000


class LiveLines:
    """Shows complete lines: AT_ONCE freely, then PER_SECOND; says in the end how many were left out."""

    def __init__(self, show: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._allowance = float(AT_ONCE)
        self._counted_at = clock()
        self._begun = ""
        self._left_out = 0

    def feed(self, text: str) -> None:
        """The next piece of the stream."""
        *lines, begun = (self._begun + text).split("\n")
        # A line that never ends must not grow without bound; what is cut is in the stored output.
        self._begun = begun[: LONGEST + 1]
        for line in lines:
            self._offer(line)

    def finish(self) -> None:
        """The stream has ended."""
        if self._begun:
            self._offer(self._begun)
        if self._left_out:
            self._show(f"... {self._left_out:,} lines are not shown here; see them all with: ocs runs output")

    def _offer(self, line: str) -> None:
        if not self._may_show():
            self._left_out += 1
            return
        # Of a very long line only its beginning.
        self._show(line if len(line) <= LONGEST else line[:LONGEST] + " ...")

    def _may_show(self) -> bool:
        now = self._clock()
        self._allowance = min(AT_ONCE, self._allowance + (now - self._counted_at) * PER_SECOND)
        self._counted_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True
