"""Extensions: what other packages bring, found by their entry points, loaded when it is asked for, each by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from ocs.errors import Unusable

T = TypeVar("T")
TRANSPORTS = "openclaw.transports"
"""The group in which packages register kinds of delivery targets."""
LONGEST_REASON = 300
MEND = "See what is wrong with it: ocs doctor. A worker sees what was installed when it starts again."


class Extensions(Generic[T]):
    """What has a name and does one kind of thing: ours, and what installed packages register in a group.

    Ours are found without a look at what is installed, and no package can take their names. A package that is
    broken takes nothing down but what uses it.
    """

    def __init__(
        self, group: str, what: str, kind: type[T], ours: Mapping[str, str], check: Callable[[str, T], None]
    ) -> None:
        self.group = group
        self._what = what
        self._kind = kind
        self._ours = ours
        self._check = check
        self._loaded: dict[str, T | Unusable] = {}

    def names(self) -> list[str]:
        """Everything that is registered, ours first; whether it can be loaded is not known."""
        return [*self._ours, *sorted(self._installed.keys() - self._ours.keys())]

    def get(self, name: str) -> T:
        """What has that name.

        Raises:
            Unusable: nothing that is installed has it, or it cannot be loaded.
        """
        if name not in self._loaded:
            try:
                self._loaded[name] = self._load(name)
            except Unusable as unusable:
                self._loaded[name] = unusable
        found = self._loaded[name]
        if isinstance(found, Unusable):
            raise Unusable(found.message, hint=found.hint)
        return found

    def usable(self) -> dict[str, T]:
        """All that can be loaded."""
        return dict(self._usable(self.names()))

    def brought(self) -> dict[str, T]:
        """What installed packages have brought, as far as it can be loaded."""
        return {name: found for name, found in self._usable(self._installed) if name not in self._ours}

    def problems(self) -> Iterator[str]:
        """What is wrong with installed packages, a sentence for each name."""
        for name, given in sorted(self._installed.items()):
            if name in self._ours:
                yield f"{_packages(given)} registers the {self._what} {name}, which is ours: it is not used."
                continue
            try:
                self.get(name)
            except Unusable as unusable:
                yield unusable.message

    @cached_property
    def _installed(self) -> Mapping[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=self.group):
            found.setdefault(entry.name, []).append(entry)
        return found

    def _usable(self, names: Iterable[str]) -> Iterator[tuple[str, T]]:
        for name in names:
            try:
                yield name, self.get(name)
            except Unusable:
                continue

    def _load(self, name: str) -> T:
        if name in self._ours:
            given = [EntryPoint(name, self._ours[name], self.group)]
        else:
            given = self._installed.get(name, [])
        if not given:
            raise Unusable(f"There is no {self._what} {name!r} here; there are {', '.join(self.names())}.", hint=MEND)
        if len(given) > 1:
            raise Unusable(f"The {self._what} {name} is brought by {_packages(given)}; uninstall all but one.")
        try:
            found: Any = given[0].load()
            if not isinstance(found, self._kind):
                raise TypeError(f"{given[0].value} is no {self._kind.__name__}")
            if name not in self._ours:
                self._check(name, found)
        except (Exception, SystemExit) as failed:  # whatever the package does, the others are used
            broken = f"The {self._what} {name} of {_packages(given)} cannot be loaded: {_reason(failed)}."
            raise Unusable(broken, hint=MEND) from failed
        return found


def brings_transports() -> bool:
    """Whether any installed package brings a kind of target; to know it, nothing is imported."""
    return bool(entry_points(group=TRANSPORTS))


def imported(where: str) -> Any:
    """What stands at `module:name`; importing the module is left until now.

    Raises:
        Unusable: there is no such thing, or the module cannot be imported.
    """
    try:
        return EntryPoint(where, where, "").load()
    except (Exception, SystemExit) as failed:
        raise Unusable(f"{where} cannot be loaded: {_reason(failed)}.", hint=MEND) from failed


def _packages(given: list[EntryPoint]) -> str:
    names = sorted({f"{entry.dist.name} {entry.dist.version}" for entry in given if entry.dist is not None})
    return " and ".join(names) or "this program"


def _reason(failed: BaseException) -> str:
    said = " ".join(str(failed).split())[:LONGEST_REASON].rstrip(".")
    return f"{type(failed).__name__}: {said}" if said else type(failed).__name__
