"""What a rollout would change in a job, as a diff of its document."""

from __future__ import annotations

import difflib
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, cast

from ocs.cli.render.output import say

if TYPE_CHECKING:
    from deployments.rollout import Step

AROUND = 2
"""Unchanged lines shown around a change."""
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def changed_paths(step: Step) -> list[str]:
    """The dotted paths at which the rolled-out document and the catalogue's differ."""
    return list(_differing(*_documents(step))) if step.action == "update" else []


def diff(step: Step) -> str:
    """The two documents as a unified diff; empty when only what surrounds them differs."""
    from deployments import yaml_text

    before, after = (yaml_text.dump(document).splitlines() for document in _documents(step))
    named = (f"{step.job_id}: rolled out", f"{step.job_id}: catalogue")
    return "\n".join(difflib.unified_diff(before, after, *named, n=AROUND, lineterm=""))


def show_diff(text: str) -> None:
    """A diff in colours, where there are colours."""
    for line in text.splitlines():
        say(line, style=COLOURS.get(line[:1]))


def _documents(step: Step) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    from ocs.spec.braces import unguard

    after: Mapping[str, Any] = step.compiled.parameters["job"] if step.compiled else {}
    return unguard(dict(step.before)), unguard(dict(after))


def _differing(old: Any, new: Any, path: str = "") -> Generator[str]:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield path or "all of it"
        return
    before, after = cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", new)
    for key in sorted({*before, *after}):
        yield from _differing(before.get(key), after.get(key), f"{path}.{key}" if path else key)
