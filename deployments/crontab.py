"""Crontabs: what cron would run, read line by line; what cannot be carried over is named with its line.

Both forms: a user's own (`crontab -l`), and the system's with a user's name in each entry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Literal

from ocs.spec.cron import NICKNAMES, check, read, with_seconds_last
from ocs.spec.cron_fields import not_standard
from ocs.spec.written import no_control_characters

FIELDS = 5
MOST_VARIABLES = 100
SYSTEM_FILE, SYSTEM_FOLDER = "crontab", "cron.d"
_ASSIGNMENT = re.compile(
    r"""(?:"([^"=]*)"|'([^'=]*)'|([A-Za-z_][A-Za-z0-9_]*))\s*=\s*(?:"([^"]*)"|'([^']*)'|([^"'\s].*)?)"""
)
_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_VALUE = r"(?:[0-9]+|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)"
_ITEM = rf"(?:[*?]|{_VALUE}(?:[-~]{_VALUE})?)(?:/[0-9]+)?"
_FIELD = re.compile(rf"{_ITEM}(?:,{_ITEM})*", re.IGNORECASE)
_FIELDS = rf"{_FIELD.pattern}(?:\s+{_FIELD.pattern}){{4}}"
_NO_PROSE = re.compile(rf"(?:.*\s)?-?(?:{'|'.join(('@reboot', *NICKNAMES))}|{_FIELDS})\s|m\s+h\s", re.IGNORECASE)
"""An entry that somebody switched off, or the heading of the columns."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that runs something. `stdin` is what stands after the first % of the command, lines apart."""

    line: int
    text: str
    schedule: str
    command: str
    stdin: tuple[str, ...] = ()
    user: str | None = None
    comment: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def first_word(self) -> str:
        """The user, in a crontab of the system's form that is read as a person's own."""
        return self.command.split(maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Left:
    """A line that cannot be carried over, and why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Crontab:
    """A file, as far as it can be understood. Assignments hold for the entries after them."""

    entries: tuple[Entry, ...] = ()
    left: tuple[Left, ...] = ()


def parse(text: str, *, with_user: bool = False) -> Crontab:
    """Read a crontab; `with_user` when each entry names the user after its schedule."""
    entries: list[Entry] = []
    left: list[Left] = []
    environment: dict[str, str] = {}
    comment: str | None = None
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            comment = _prose(stripped)
            continue
        try:
            no_control_characters(stripped)
            if assigned := _ASSIGNMENT.fullmatch(stripped):
                environment = _with(environment, _assignment(assigned))
            else:
                entries.append(_entry(number, stripped, comment, environment, with_user=with_user))
        except ValueError as wrong:
            left.append(Left(number, stripped, str(wrong)))
        comment = None
    return Crontab(tuple(entries), tuple(left))


def is_system_file(name: str) -> bool:
    """Whether cron reads a file of that name in the system's form."""
    path = PurePath(name)
    return path.parent.name == SYSTEM_FOLDER or (path.name == SYSTEM_FILE and path.parent.name == "etc")


def form_of(
    entries: Sequence[Entry], *, is_user: Callable[[str], bool], is_program: Callable[[str], bool]
) -> Literal["own", "system", "unsure"]:
    """Whose form a crontab has that was read as a person's own: in the system's, each command begins with a user.

    Some names are those of users and of programs (`mail`, `backup`).
    """
    named = [entry for entry in entries if " " in entry.command and is_user(entry.first_word)]
    is_certain = any(not is_program(entry.first_word) for entry in named)
    if is_certain and len(named) == len(entries):
        return "system"
    return "unsure" if is_certain or (named and len(named) == len(entries)) else "own"


def without_users(read: Crontab, *, is_user: Callable[[str], bool], is_program: Callable[[str], bool]) -> Crontab:
    """Without the entries whose commands begin with a user of the machine: as a person's own, none of them can work."""
    users = [entry for entry in read.entries if is_user(entry.first_word) and not is_program(entry.first_word)]
    left = [
        Left(
            entry.line,
            entry.text,
            f"begins with {entry.first_word}, a user of this machine and no program; take that out, "
            "or type --system where every line names a user",
        )
        for entry in users
    ]
    entries = tuple(entry for entry in read.entries if entry not in users)
    return Crontab(entries, tuple(sorted((*read.left, *left), key=lambda each: each.line)))


def _with(environment: Mapping[str, str], assigned: Mapping[str, str]) -> dict[str, str]:
    """The entries before keep theirs."""
    changed = {**environment, **assigned}
    if len(changed) > MOST_VARIABLES:
        raise ValueError(f"is one variable more than the {MOST_VARIABLES} that are read")
    return changed


def _prose(comment: str) -> str | None:
    """What a comment says of the entry below it; an entry that is switched off says nothing."""
    said = comment.lstrip("# ").strip()
    return None if not said or _NO_PROSE.match(said) or _ASSIGNMENT.fullmatch(said) else said


def _assignment(found: re.Match[str]) -> dict[str, str]:
    name = found[1] or found[2] or found[3] or ""
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise ValueError("sets what no job's environment can have; a name is letters, digits and _")
    return {name: found[4] or found[5] or found[6] or ""}


def _entry(number: int, line: str, comment: str | None, environment: dict[str, str], *, with_user: bool) -> Entry:
    count = 1 if line.startswith("@") else FIELDS
    words = line.removeprefix("-").split(maxsplit=count + with_user)  # a leading - only keeps it out of cron's log
    if len(words) < count + with_user + 1:
        raise ValueError("has no command" if len(words) >= count else "is neither an assignment nor an entry")
    if count == FIELDS and _FIELD.fullmatch(sixth := words[count].split(maxsplit=1)[0]):
        expression = " ".join((*words[:count], sixth))
        raise ValueError(
            f"has six fields before its command, where cron has five; if it begins with seconds, type  "
            f"ocs jobs add NAME --cron '{expression}' --shell '...'"
        )
    schedule = _schedule(words[:count])
    command, *stdin = _lines(words[-1])
    if not command.strip():
        raise ValueError("has no command")
    user = words[count] if with_user else None
    return Entry(number, line, schedule, command.strip(), tuple(stdin), user, comment, environment)


def _schedule(fields: list[str]) -> str:
    expression = " ".join(fields)
    if expression.startswith("@"):
        if expression.lower() == "@reboot":
            raise ValueError("runs when the machine starts, which is no time; a systemd unit can do that")
        if expression.lower() not in NICKNAMES:
            raise ValueError(f"{expression} is no schedule that cron knows")
        return expression.lower()
    if beyond := next(filter(None, map(not_standard, fields)), None):
        raise ValueError(f"{beyond} is not what every cron understands")
    check(expression)
    if turned := read(expression).goes_round:
        raise ValueError(f"{turned} is a range that ends before it begins")
    return with_seconds_last(expression)


def _lines(command: str) -> list[str]:
    """The command, and its standard input line by line: a bare % ends a line, \\% is one.

    As cron does, the command is read in pairs (\\\\% is two backslashes and its end), the input is not; and the last
    line of the input is ended only if it is not empty.
    """
    end = next((found.start() for found in re.finditer(r"\\.|%", command) if found[0] == "%"), len(command))
    lines = re.split(r"(?<!\\)%", command[end + 1 :])
    kept = lines if lines[-1] else lines[:-1]
    return [re.sub(r"\\.", _bare, command[:end]), *(line.replace("\\%", "%") for line in kept)]


def _bare(escaped: re.Match[str]) -> str:
    return "%" if escaped[0] == "\\%" else escaped[0]
