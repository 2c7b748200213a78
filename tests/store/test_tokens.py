"""Tokens of callers: found by what is presented, forgotten when they are revoked, never kept."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ocs.errors import NotFound, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.scopes import Scope
from ocs.service import tokens
from ocs.store import Store, audit
from ocs.store.tokens import tokens as rows

BY = Attribution("ann", "cli", datetime(2026, 12, 1, 2, tzinfo=UTC))


async def test_a_token_is_its_callers_until_it_is_revoked(store: Store) -> None:
    made, said = await tokens.create(store, "research", frozenset({Scope.RUN, Scope.READ}), by=BY)
    _, other = await tokens.create(store, "other", frozenset({Scope.READ}), by=BY)
    assert await tokens.of_caller(store, said) == made
    assert made.scopes == {Scope.READ, Scope.RUN}
    for presented in ("", said[:-1], f"{said} ", said.removeprefix("ocs_"), f"ocs_{'x' * 1_000_000}"):
        assert await tokens.of_caller(store, presented) is None
    with pytest.raises(Refused, match="has a token already"):
        await tokens.create(store, " research ", frozenset({Scope.READ}), by=BY)
    await tokens.revoke(store, "research", by=BY)
    assert await tokens.of_caller(store, said) is None
    assert (await tokens.all_tokens(store))[0].name == "other"
    with pytest.raises(NotFound):
        await tokens.revoke(store, "research", by=BY)
    assert [each.action for each in await audit.events(store)].count("mcp-token-created") == 2
    everything = [*await rows(store), *await audit.events(store)]
    assert not [each for each in everything if said[4:] in str(each) or other[4:] in str(each)]
