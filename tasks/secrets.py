"""Secrets of a job: environment names and values of Prefect Secret blocks, loaded only when the job runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast

from prefect.blocks.system import Secret

from ocs.errors import NotFound, Refused
from ocs.rules.secret_forms import SHORTEST, is_too_short


async def resolve(secrets: Mapping[str, str]) -> dict[str, str]:
    """Load each named block; values that are not text are given as JSON.

    Raises:
        NotFound: a block does not exist; the error names it, and nothing was run.
        Refused: no program takes a value.
    """
    values = await asyncio.gather(*(_load(block) for block in secrets.values()))
    return dict(zip(secrets, values, strict=True))


def warnings_about(values: Mapping[str, str]) -> list[str]:
    """Which secrets are not safe, and why."""
    return [
        f"The secret {name} is too short to be masked: where the job prints it, it can be read. "
        f"Make it {SHORTEST} bytes long at least."
        for name, value in values.items()
        if is_too_short(value)
    ]


async def _load(block: str) -> str:
    try:
        # Secret[...] is a block type of its own, which no UI offers.
        secret = cast("Secret[Any]", await Secret.aload(block))  # pyright: ignore[reportUnknownMemberType]
    except ValueError as missing:
        raise NotFound(
            f'There is no Secret block "{block}".',
            hint=f"Make it: ocs secrets set {block}   Or in the Prefect UI under Blocks (type Secret).",
        ) from missing
    value: Any = secret.get()
    text = value if isinstance(value, str) else json.dumps(value)
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        # Said here, because what the system says of it repeats the value.
        raise Refused(
            f'The value of the Secret block "{block}" has a NUL or half a character, which no environment takes.',
            hint="Correct it in the Prefect UI under Blocks. Nothing was run.",
        )
    return text
