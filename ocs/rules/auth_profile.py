"""Auth profiles: which of the gateway's credentials for a provider a turn uses."""

from __future__ import annotations

import re

INHERIT = "inherit"
"""The profile that the agent's main session uses."""
_NAMED = re.compile(r"\bAuth:\s+[\w-]+ \((?P<profile>[^\s():]+:[^\s()]+)")


def on_status_card(card: str) -> str | None:
    """The profile that a session uses, as the gateway's status card for people names it: `Auth: api-key (x:work)`.

    None where it names none: a key of the environment, of the configuration, or nothing at all.
    """
    found = _NAMED.search(card)
    return found["profile"] if found else None


def fits(profile: str, model: str) -> bool:
    """Whether a profile (provider:label) is one for the model (provider/model); the gateway drops one that is not."""
    return profile.partition(":")[0] == model.partition("/")[0]
