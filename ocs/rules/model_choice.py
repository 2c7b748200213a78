"""Which model an attempt asks for: the next of the job's, when the attempt before failed by its model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """The model that the attempt before asked for, and whether its turn failed by it; no model is the agent's own."""

    model: str | None
    failed: bool


def model_of(models: Sequence[str | None], before: Asked | None) -> str | None:
    """The one of `models`, which are in the order of preference, that this attempt asks for.

    A failure of any other kind, a crash, and a run that could do nothing keep the model; after the last one there is
    no other. Where the job was changed meanwhile and has the model no longer, it begins with the first.
    """
    if before is None or before.model not in models:
        return models[0]
    at = models.index(before.model)
    return models[min(at + 1, len(models) - 1)] if before.failed else before.model
