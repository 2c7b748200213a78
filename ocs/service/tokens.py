"""Tokens of callers of the door for agents. A token is shown once, when it is made; only its digest is kept."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ocs.rules.attribution import Attribution
from ocs.rules.messages import checked_name
from ocs.rules.scopes import Scope, in_order
from ocs.rules.tokens import digest_of

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables_mcp import McpToken

BEGINS = "ocs_"
"""So that who finds one lying about knows what it is."""
LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A caller's token: who it is, and what it may do."""

    name: str
    may: tuple[str, ...]
    created_by: str
    created_at: datetime

    @property
    def scopes(self) -> frozenset[Scope]:
        """Those that this version knows."""
        return frozenset(Scope(name) for name in self.may if name in set(Scope))


async def create(store: Store, name: str, scopes: frozenset[Scope], *, by: Attribution) -> tuple[Token, str]:
    """Make a token for a caller; returns what is known of it, and the token itself.

    Raises:
        Refused: the name is none, or has a token already.
    """
    from ocs.store import tokens

    said = f"{BEGINS}{secrets.token_urlsafe(32)}"
    row = await tokens.add(store, checked_name("name", name), digest_of(said), in_order(scopes), by=by)
    return _record(row), said


async def all_tokens(store: Store) -> list[Token]:
    """All that were not revoked, by name."""
    from ocs.store import tokens

    return [_record(row) for row in await tokens.tokens(store)]


async def revoke(store: Store, name: str, *, by: Attribution) -> None:
    """Have a token be refused from now on.

    Raises:
        NotFound: there is none of that name.
    """
    from ocs.store import tokens

    await tokens.revoke(store, name, by=by)


async def of_caller(store: Store, presented: str) -> Token | None:
    """Whose token it is that somebody presents; None when it is nobody's."""
    from ocs.store import tokens

    if not presented.startswith(BEGINS) or len(presented) > LONGEST:
        return None
    row = await tokens.by_digest(store, digest_of(presented))
    return _record(row) if row is not None else None


def _record(row: McpToken) -> Token:
    return Token(name=row.name, may=tuple(row.scopes), created_by=row.created_by, created_at=row.created_at)
