"""Scopes: what a caller of the door for agents may do, each a set of tools."""

from __future__ import annotations

from enum import StrEnum

from ocs.errors import UsageError


class Scope(StrEnum):
    """A set of tools that a caller may use."""

    READ = "read"
    """Look at jobs, runs and what they printed, tasks, the queue, the calendar and messages."""
    RUN = "run"
    """Run jobs that are rolled out, as they are, and cancel runs."""
    DISPATCH = "dispatch"
    """Start, steer and cancel tasks."""
    PROPOSE = "propose"
    """Propose new or changed jobs, on which a person decides."""


ALL = frozenset(Scope)


def scopes_of(text: str) -> frozenset[Scope]:
    """The scopes that are named, with commas between them.

    Raises:
        UsageError: one is unknown, or none is named.
    """
    named = [name.strip().lower() for name in text.split(",") if name.strip()]
    known = ", ".join(Scope)
    if unknown := sorted(set(named) - set(Scope)):
        raise UsageError(f'"{unknown[0]}" is no scope.', hint=f"There are: {known}")
    if not named:
        raise UsageError("No scope is named.", hint=f"Such as read,run; there are: {known}")
    return frozenset(map(Scope, named))


def in_order(scopes: frozenset[Scope]) -> list[str]:
    """The names of scopes, from the least to the most."""
    return [str(scope) for scope in Scope if scope in scopes]
