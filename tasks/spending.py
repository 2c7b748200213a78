"""Spending: ends a turn that goes on after it has spent what its run holds, or that nobody can price."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from ocs.errors import StoreAway
from ocs.rules import budgets
from ocs.rules.costs import total_of, usd
from ocs.rules.dispatch import DispatchResult, IdempotencyAction, RunStatus
from ocs.store import spending
from ocs.store.spending import Held
from tasks.adapter import runtime
from tasks.adapter.transient import retry_transient
from tasks.doing import Doing


async def held_by(run_id: UUID) -> Held | None:
    """What a run holds; None when nothing limits what it spends."""

    async def look_up() -> Held | None:
        return await spending.held_by(await runtime.store(), run_id)

    return await retry_transient("look up what the run may spend", look_up)


async def within(
    held: Held | None, run_id: UUID, doing: Doing, turn: Coroutine[Any, Any, DispatchResult]
) -> DispatchResult:
    """Have the turn taken, as long as what it spends stays within what its run holds, which may become more.

    What a model call costs is known when it has ended, so that one call is what a turn can spend too much.
    """
    if held is None:
        return await turn
    turning = asyncio.ensure_future(turn)
    watching = asyncio.ensure_future(_overspent(held, run_id, doing))
    try:
        await asyncio.wait({turning, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in (turning, watching):
            each.cancel()
        await asyncio.wait({turning, watching})
    if not turning.cancelled():
        return turning.result()
    return DispatchResult(
        RunStatus.ERROR, error=watching.result(), retryable=False, idempotency_action=IdempotencyAction.RELEASE
    )


async def _overspent(held: Held, run_id: UUID, doing: Doing) -> str:
    """Wait until the turn goes on though it may not; returns why."""
    while True:
        await doing.goes_on.wait()
        doing.goes_on.clear()
        if doing.unpriceable is not None:
            return f"Its turn was ended: it may not cost more than {usd(held.amount)}, and {doing.unpriceable}."
        spent = total_of(doing.used).micros or 0
        if spent <= held.amount:
            continue
        if held.is_cap:
            return budgets.past_cap(spent, held.amount)
        more = await _extended(run_id, doing)
        if isinstance(more, str):
            return more
        held = more or held


async def _extended(run_id: UUID, doing: Doing) -> Held | str | None:
    try:
        return await spending.extend(await runtime.store(), run_id, doing.used)
    except StoreAway:
        return "Its turn was ended: it has spent what it held, and the store could not be asked for more."
