"""What stands below the attributes of a class, for who shows it: pydantic would read it whenever it makes a class."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise


@cache
def below_attributes(cls: type) -> dict[str, str]:
    """The docstrings of a class's own annotated attributes, by name; none where its source is not at hand."""
    try:
        (found,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    return dict(_told(found.body)) if isinstance(found, ast.ClassDef) else {}


def _told(statements: list[ast.stmt]) -> list[tuple[str, str]]:
    return [
        (before.target.id, inspect.cleandoc(after.value.value))
        for before, after in pairwise(statements)
        if isinstance(before, ast.AnnAssign)
        and isinstance(before.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    ]
