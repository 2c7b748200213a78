"""What looks like a secret in another scheduler's jobs: told to a person, who knows better."""

from __future__ import annotations

import re

WORDS = "TOKEN|PASSW|SECRET|API_?KEY|CREDENTIAL"
NAME = re.compile(WORDS, re.IGNORECASE)
ASSIGNED = re.compile(rf"\b[A-Z0-9_]*(?:{WORDS})[A-Z0-9_]*=\S", re.IGNORECASE)


def is_secret_name(variable: str) -> bool:
    """Whether a variable is called as one that holds a secret."""
    return NAME.search(variable) is not None


def holds_secret(command: str) -> bool:
    """Whether a command gives a value to something that is called so."""
    return ASSIGNED.search(command) is not None
