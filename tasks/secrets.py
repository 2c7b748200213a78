"""Secrets of a job: environment names to the values of Prefect Secret blocks, looked up only when the job runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

from prefect.blocks.system import Secret

from ocs.errors import NotFound


async def resolve(secrets: Mapping[str, str]) -> dict[str, str]:
    """Load each named block; values that are not text are given as JSON.

    Raises:
        NotFound: a block does not exist; it is named, and nothing was run.
    """
    values = await asyncio.gather(*(_load(block) for block in secrets.values()))
    return dict(zip(secrets, values, strict=True))


async def _load(block: str) -> str:
    try:
        # Secret[...] is a block type of its own, which no UI offers.
        secret = cast("Secret[Any]", await Secret.aload(block))  # pyright: ignore[reportUnknownMemberType]
    except ValueError as missing:
        raise NotFound(
            f'There is no Secret block "{block}".',
            hint="Make it in the Prefect UI under Blocks (type Secret), or take it out of run.shell.secrets.",
        ) from missing
    value: Any = secret.get()
    return value if isinstance(value, str) else json.dumps(value)
