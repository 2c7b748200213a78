"""What job files say, kept between commands: reading YAML is nine tenths of reading a catalogue.

What is kept is found by a digest of the text it was read from and of the code that read it, so that a file that was
changed in any way is read anew. A file of it that is cut in half, foreign or not writable is as good as none.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from deployments import kept, yaml_bounds, yaml_text


class Documents:
    """The documents of one project's files. `load` them, then `keep` what was read."""

    def __init__(self, project: Path) -> None:
        self._file = kept.file_of(project, "documents")
        self._known = kept.read(self._file)
        self._used: dict[str, Any] = {}

    def load(self, text: str) -> Any:
        """The values of a document.

        Raises:
            YAMLError: it is not YAML, or more than any job is.
        """
        digest = kept.digest(f"{_reader()}\n{text}")
        if digest in self._known:
            return self._used.setdefault(digest, self._known[digest])
        document = yaml_text.load(text)
        if _survives_json(document):
            self._used[digest] = document
        return document

    def keep(self) -> None:
        """Remember what was loaded, and nothing else."""
        if self._used.keys() != self._known.keys():
            kept.write(self._file, self._used)


@cache
def _reader() -> str:
    """The code that reads: ours, and that of ruamel.yaml."""
    ours = b"".join(Path(str(module.__file__)).read_bytes() for module in (yaml_text, yaml_bounds))
    return f"{hashlib.sha256(ours).hexdigest()} {version('ruamel.yaml')}"


def _survives_json(document: Any) -> bool:
    """Whether it would be read back as exactly what it is: keys that are no text, for instance, would not."""
    try:
        return _same(json.loads(json.dumps(document)), document)
    except (TypeError, ValueError, RecursionError):
        return False


def _same(one: Any, other: Any) -> bool:
    """Equal, and of one type: to Python 1, 1.0 and true are equal."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        ours, theirs = cast("dict[Any, Any]", one), cast("dict[Any, Any]", other)
        return ours.keys() == theirs.keys() and all(_same(value, theirs[key]) for key, value in ours.items())
    if isinstance(one, list):
        ours, theirs = cast("list[Any]", one), cast("list[Any]", other)
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return one == other
