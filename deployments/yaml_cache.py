"""What job files say, kept between commands: reading YAML is nine tenths of reading a catalogue.

What is kept is found by a digest of the text it was read from and of the code that read it, so that a file that was
changed in any way is read anew. A file of it that is cut in half, foreign or not writable is as good as none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from deployments import yaml_bounds, yaml_text
from ocs import settings
from ocs.files import is_private, make_folder

FOLDER = "cache"


class Documents:
    """The documents of one project's files. `load` them, then `keep` what was read."""

    def __init__(self, project: Path) -> None:
        called = hashlib.sha256(str(project.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._file = settings.home() / FOLDER / f"{called}.json"
        self._known = _read(self._file)
        self._used: dict[str, Any] = {}

    def load(self, text: str) -> Any:
        """The values of a document.

        Raises:
            YAMLError: it is not YAML, or more than any job is.
        """
        digest = _digest(text)
        if digest in self._known:
            return self._used.setdefault(digest, self._known[digest])
        document = yaml_text.load(text)
        if _survives_json(document):
            self._used[digest] = document
        return document

    def keep(self) -> None:
        """Remember what was loaded, and nothing else; a disk that is full or not ours costs time, no more.

        A home that is not there yet is not made by looking.
        """
        if self._used.keys() == self._known.keys() or not settings.home().is_dir():
            return
        body = json.dumps(self._used)
        with contextlib.suppress(OSError):
            make_folder(self._file.parent)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._file.parent, prefix=f".{self._file.name}.", encoding="utf-8", delete=False
            ) as file:
                temporary = Path(file.name)
                with _removed_if_it_fails(temporary):
                    file.write(f"{_digest(body)}\n{body}")
                    file.flush()
                    temporary.replace(self._file)


@contextlib.contextmanager
def _removed_if_it_fails(path: Path) -> Any:
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def _read(file: Path) -> dict[str, Any]:
    """What is kept there; nothing where the file is not whole, or others could have written it."""
    try:
        digest, _, body = file.read_text(encoding="utf-8").partition("\n") if is_private(file) else ("", "", "")
        kept: Any = json.loads(body) if digest == _digest(body) else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}


def _digest(text: str) -> str:
    """Of a text as this version would read it."""
    return hashlib.sha256(f"{_reader()}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()


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
