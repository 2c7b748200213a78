"""Who calls: its name, which the audit trail has, and what it may do."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from ocs.rules.attribution import Attribution
from ocs.rules.scopes import ALL, Scope
from ocs.service import session

SOURCE = "mcp"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls a tool."""

    name: str
    scopes: frozenset[Scope] = ALL


_caller: ContextVar[Caller] = ContextVar("_caller")


def calls(caller: Caller) -> None:
    """Whoever calls from here on, in this task and those that it starts."""
    _caller.set(caller)


def caller() -> Caller:
    """Who calls."""
    return _caller.get()


def attribution() -> Attribution:
    """What a tool does is done by its caller."""
    return Attribution(caller().name, SOURCE, session.now())
