"""Tokens: what is kept of one that somebody else presents."""

from __future__ import annotations

import hashlib


def digest_of(token: str) -> str:
    """All that is kept of a token: who reads it cannot present it.

    A token has 256 random bits: there is nothing to guess that a slower digest would protect.
    """
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
