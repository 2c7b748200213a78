"""Ids for imported jobs and targets: readable, taken from their names, and never one that is taken."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container
from itertools import chain, count

LONGEST = 48


def slug(name: str, otherwise: str) -> str:
    """`Post-Deploy Check` is post-deploy-check; a name without a single usable character is `otherwise`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    made = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST].strip("-")
    return made or re.sub(r"[^a-z0-9]+", "-", otherwise.lower()).strip("-")[:LONGEST].strip("-") or "job"


def free(wanted: str, taken: Container[str]) -> str:
    """`wanted`, or wanted-2, wanted-3 and so on."""
    names = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
    return next(name for name in names if name not in taken)
