"""Retrieval: which earlier runs of a job an agent is shown, by what they said."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

CANDIDATES = 50
"""How many of the newest runs are looked at."""
SEARCHED = 64 * 1024
"""How many characters of each are looked at, however much of it was stored."""
_NOT_A_WORD = re.compile(r"[^a-z0-9]")
_STOP = (
    "a about above after again all also am an and any are as at be because been before being below between both but "
    "by can could did do does doing down during each few for from had has have having he her here his how if in into "
    "is it its just me more most my no not now of off on once only or other our out over own same she should so some "
    "such than that the their them then there these they this those through to too under until up very was we were "
    "what when where which while who why will with would you your"
)
STOP_WORDS = frozenset(_STOP.split())


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier run said, and when it began."""

    at: datetime
    text: str


def recent(runs: Sequence[Earlier], limit: int) -> list[Earlier]:
    """The newest runs, newest first."""
    return sorted(runs, key=lambda run: run.at, reverse=True)[:limit]


def hybrid(query: str, runs: Sequence[Earlier], limit: int) -> list[Earlier]:
    """The runs that match the query best; the newest where none matches."""
    wanted, documents = words(query), [Counter(words(run.text[:SEARCHED])) for run in runs]
    frequency = Counter(word for document in documents for word in document)
    whole = query.strip().lower()

    def score(run: Earlier, document: Counter[str]) -> float:
        length = document.total() or 1
        found = sum(
            document[word] / length * (math.log(len(documents) / frequency[word]) + 1)
            for word in wanted
            if word in document
        )
        return found + (1.0 if whole and whole in run.text[:SEARCHED].lower() else 0.0)

    scored = [(score(run, document), run) for run, document in zip(runs, documents, strict=True)]
    best = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: (pair[0], pair[1].at), reverse=True)
    return [run for _, run in best[:limit]] or recent(runs, limit)


def words(text: str) -> list[str]:
    """The words that tell texts apart: lower case, letters and digits only, longer than one, no stop words."""
    found = (_NOT_A_WORD.sub("", word) for word in text.lower().split())
    return [word for word in found if len(word) > 1 and word not in STOP_WORDS]
