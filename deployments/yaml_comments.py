# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Comments stay above what they are about, wherever something is added before it.

ruamel.yaml hangs the lines between two keys onto the value before them: what is added after that value would come
after those lines, and separate them from the key below. Here they are hung onto the key.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark
from ruamel.yaml.scalarstring import FoldedScalarString, LiteralScalarString
from ruamel.yaml.tokens import CommentToken

ABOVE, BEHIND, HEAD = 1, 2, 3
"""Where in its entry ruamel.yaml keeps a key's comments: above it, behind its value, behind the | of its text."""
BEHIND_AN_ITEM = 0


def reconcile(document: CommentedMap) -> None:
    """Hang each line of comment onto the key it stands above; what stands below the last key ends the document."""
    if below := _place(document, ""):
        # Without a comment of its own, ruamel.yaml forgets that a document has an end.
        document.ca.comment = document.ca.comment or [None, None]
        document.ca.end = [_token(below)]


def move_comment(source: CommentedMap, key: str, target: CommentedMap, new_key: str) -> None:
    """Let what stands behind a key's value go with the value to its new place."""
    entry = source.ca.items.get(key)
    if entry is not None:
        target.ca.items[new_key] = [None, None, entry[BEHIND], entry[HEAD]]
        entry[BEHIND] = entry[HEAD] = None


def _place(group: CommentedMap, above: str) -> str:
    """Hang `above` onto the first key; returns the lines below the last one."""
    for key, value in group.items():
        if above:
            entry = group.ca.items.setdefault(key, [None] * 4)
            entry[ABOVE] = [*(entry[ABOVE] or ()), _token(above)]
        above = _taken_below(group, key, BEHIND, value)
    return above


def _taken_below(holder: Any, key: Any, place: int, value: Any) -> str:
    """Take the lines below a value away from it."""
    is_open = isinstance(value, CommentedMap | CommentedSeq) and value and not value.fa.flow_style()
    if is_open and isinstance(value, CommentedMap):
        return _place(value, "")
    if is_open:
        return _taken_below(value, len(value) - 1, BEHIND_AN_ITEM, value[-1])
    entry = holder.ca.items.get(key)
    token = entry[place] if entry else None
    if token is None:
        return ""
    # A text of several lines has ended its last line itself; behind any other value a comment, or nothing, does.
    ends_itself = isinstance(value, LiteralScalarString | FoldedScalarString)
    behind, _, below = ("", "", token.value) if ends_itself else token.value.partition("\n")
    entry[place] = _token(f"{behind}\n", token.start_mark) if behind else None
    return below


def _token(text: str, mark: Any = None) -> CommentToken:
    return CommentToken(text, mark or CommentMark(0), None)
