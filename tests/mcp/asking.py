"""The official client of the protocol as a caller, and what it is answered."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp import Client
from mcp_types import CallToolResult, TextContent

from ocs.mcp.caller import Caller, calls
from ocs.mcp.door import Door
from ocs.mcp.offers import OFFERS
from ocs.rules.scopes import ALL, Scope

FENCED = re.compile(r"--- begin data (\w+): (.*?) ---\n(.*?)\n--- end data \1 ---", re.DOTALL)


@dataclass(frozen=True)
class Answer:
    """What a call was answered."""

    text: str
    failed: bool

    @property
    def fences(self) -> dict[str, str]:
        """What stands in each fence, by its label."""
        return {label: inside for _, label, inside in FENCED.findall(self.text)}

    @property
    def facts(self) -> dict[str, Any]:
        """The one JSON object: in the first fence, or below the sentence that says what was done."""
        fences = list(self.fences.values())
        return json.loads(fences[0] if fences else self.text.partition("\n")[2])


async def ask(client: Client, tool: str, /, **arguments: Any) -> Answer:
    """Call a tool."""
    answer = await client.call_tool(tool, arguments)
    assert isinstance(answer, CallToolResult)
    (content,) = answer.content
    assert isinstance(content, TextContent)
    return Answer(content.text, bool(answer.is_error))


@asynccontextmanager
async def door(name: str = "research", scopes: frozenset[Scope] = ALL) -> AsyncGenerator[Client]:
    """A client of a door in this process."""
    calls(Caller(name, scopes))
    async with Client(Door(OFFERS)) as client:
        yield client
