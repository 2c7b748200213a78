"""What an agent's reply means: a word that asks for silence, a failure it reports, or a failure that was passed on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ocs.rules import model_failure
from ocs.rules.silence import asks_for_silence

FAILED = "TASK_FAILED"
_DECORATION = "*_~`"
_FAILED = re.compile(rf"(?:[^\w\n]|_)*{FAILED}(?!_*[^\W_])[{_DECORATION}\s:.!-]*(?P<why>[^\n]*)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is a sentence when the reply is none, `by_model` whether its model is why.

    `quiet` says that nobody has to hear of it.
    """

    error: str | None = None
    quiet: bool = False
    by_model: bool = False


def judge(reply: str) -> Verdict:
    """What the reply means, as far as its words say."""
    text = reply.strip()
    if not text:
        return Verdict(error="The agent said nothing.")
    if found := _FAILED.match(text):
        why = found["why"].strip(f"{_DECORATION} \t")
        return Verdict(error=f"The agent reports a failure: {why}" if why else "The agent reports a failure.")
    if asks_for_silence(text):
        return Verdict(quiet=True)
    if model_failure.is_nothing_else(text):
        return Verdict(error=f"The agent's model failed for the moment: {' '.join(text.split())}", by_model=True)
    return Verdict()
