"""Tokens of callers of the door for agents: made, found by what somebody presents, revoked."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import col, select

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.store.audit import record
from ocs.store.engine import Store
from ocs.store.tables_mcp import McpToken

MOST = 1000


async def tokens(store: Store) -> list[McpToken]:
    """All of them, by name."""
    async with store.reading() as session:
        return list(await session.scalars(select(McpToken).order_by(col(McpToken.name))))


async def add(store: Store, name: str, digest: str, scopes: Sequence[str], *, by: Attribution) -> McpToken:
    """Keep a token's digest.

    Raises:
        Refused: there is a token of that name, or there are too many.
    """
    async with store.transaction(lock=("mcp-tokens",)) as session:
        if await session.get(McpToken, name) is not None:
            hint = f"Revoke it first: ocs mcp token revoke {name}"
            raise Refused(f"{name} has a token already.", hint=hint)
        if (await session.scalar(select(func.count()).select_from(McpToken)) or 0) >= MOST:
            raise Refused(f"There are {MOST:,} tokens already.", hint="Revoke some: ocs mcp token list")
        row = McpToken(name=name, digest=digest, scopes=list(scopes), created_by=by.actor, created_at=by.now)
        session.add(row)
        record(session, "mcp-token-created", by=by, after={"name": name, "may": list(scopes)})
    return row


async def revoke(store: Store, name: str, *, by: Attribution) -> None:
    """Forget a token, so that whoever presents it is refused.

    Raises:
        NotFound: there is none of that name.
    """
    async with store.transaction(lock=("mcp-tokens",)) as session:
        row = await session.get(McpToken, name)
        if row is None:
            raise NotFound(f'There is no token "{name}".', hint="See them: ocs mcp token list")
        record(session, "mcp-token-revoked", by=by, before={"name": name, "may": row.scopes})
        await session.delete(row)


async def by_digest(store: Store, digest: str) -> McpToken | None:
    """The token of that digest. Each is compared, and in a time that says nothing of how far it is alike."""
    found: McpToken | None = None
    for row in await tokens(store):
        if hmac.compare_digest(row.digest, digest):
            found = row
    return found
