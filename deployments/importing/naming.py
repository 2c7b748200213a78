"""Ids for imported jobs and targets: readable, taken from their names, and never one that is taken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 48


def slug(name: str, otherwise: str) -> str:
    """`Post-Deploy Check` is post-deploy-check; a name without a single usable character is `otherwise`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    made = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST].strip("-")
    return made or re.sub(r"[^a-z0-9]+", "-", otherwise.lower()).strip("-")[:LONGEST].strip("-") or "job"


class Names:
    """Names that are given once each. Where each number goes on is kept: thousands may want the same name."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._numbers: dict[str, int] = {}

    def free(self, wanted: str) -> str:
        """`wanted`, or wanted-2, wanted-3 and so on; it is taken from then on."""
        name = wanted
        while name in self._taken:
            number = self._numbers[wanted] = self._numbers.get(wanted, 1) + 1
            name = f"{wanted}-{number}"
        self._taken.add(name)
        return name
