"""Crontab entries as job documents: a readable id, cron's own circumstances, and what a person should know of it."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import PurePosixPath
from typing import Any

from deployments.crontab import ZONES, Entry

TAG = "crontab"
ORIGIN = "crontab:"
DIGEST = 12
LONGEST_ID = 48
NOT_FOR_THE_JOB = frozenset({"SHELL", "HOME", "LOGNAME", "USER", "MAILTO", "MAILFROM", "RANDOM_DELAY", *ZONES})
HOME = "~"
"""Where cron starts what has no HOME of its own; as jobs they would start in the project's folder."""
DEFAULT_SHELL = "/bin/sh"
SECRET = re.compile(r"TOKEN|PASSW|SECRET|API_?KEY|CREDENTIAL", re.IGNORECASE)
WRAPPERS = frozenset(
    {"sudo", "env", "nice", "ionice", "nohup", "chronic", "flock", "timeout", "time", "exec", "setsid", "stdbuf"}
    | {"systemd-cat", "run-one", "bash", "sh", "dash", "zsh", "ksh"}
    | {"python", "python2", "python3", "perl", "ruby", "node", "php", "Rscript", "java"}
)
"""Programs whose arguments say what the work is."""
BESIDE_THE_WORK = frozenset({"cd", "test", "[", "command", "export", "source", ".", "sleep", "umask", "set", "true"})
_APART = re.compile(r"^([;&|()]+|then|do|else)$")
_WORD = re.compile(r"^[a-z][a-z0-9_-]{1,30}$")


@dataclass(frozen=True, slots=True)
class Imported:
    """An entry and the job it becomes; `document` is empty when the catalogue has it already.

    `hints` are what a person should know of it, each a sentence whose subject is the job.
    """

    entry: Entry
    job_id: str
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])
    hints: tuple[str, ...] = ()


def jobs_of(
    entries: Sequence[Entry], *, known: Mapping[str, str], taken: Sequence[str], timezone: str, user: str
) -> list[Imported]:
    """A disabled job for each entry.

    `known` maps origins that the catalogue has to job ids, `taken` are its ids; `timezone` is cron's own,
    `user` whoever will run the jobs.
    """
    used = set(taken)
    found: dict[str, Imported] = {}
    for entry in entries:
        origin = origin_of(entry)
        if origin in known or origin in found:
            job_id = known.get(origin) or found[origin].job_id
            found.setdefault(origin, Imported(entry, job_id))
            continue
        job_id = _free(readable_id(entry.command), used)
        used.add(job_id)
        document = {"id": job_id, **_document(entry, origin, timezone)}
        found[origin] = Imported(entry, job_id, document, tuple(_hints(entry, user)))
    return list(found.values())


def origin_of(entry: Entry) -> str:
    """What makes two entries the same: all that cron would do differently."""
    said = (entry.schedule, entry.command, entry.stdin, entry.user, sorted(entry.environment.items()))
    return ORIGIN + hashlib.sha256(repr(said).encode()).hexdigest()[:DIGEST]


def readable_id(command: str) -> str:
    """An id that says what the command does: `cd /srv && python manage.py clearsessions` is manage-clearsessions."""
    for part in _parts(command):
        words = [word for word in part if not re.match(r"^\w+=", word)]
        while words and PurePosixPath(words[0]).name in WRAPPERS:
            words = _after_options(words[1:])
        is_code = words and " " in words[0]
        if words and not is_code and words[0] not in BESIDE_THE_WORK:
            return _slug(words) or "job"
    return "job"


def _parts(command: str) -> list[list[str]]:
    """The simple commands of a line, each as its words."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    try:
        for word in lexer:
            if _APART.match(word):
                parts.append([])
            else:
                parts[-1].append(word)
    except ValueError:  # an unbalanced quote; what stands before it is known
        pass
    return [part for part in parts if part] or [command.split()]


def _after_options(words: list[str]) -> list[str]:
    """Without a wrapper's options, durations, lock files and assignments."""
    while words and (words[0].startswith("-") or re.match(r"^(\d+\w?|\w+=.*|.*\.lock)$", words[0])):
        words = words[1:]
    return words


def _slug(words: Sequence[str]) -> str:
    program = PurePosixPath(words[0])
    name = program.stem if program.suffix in (".sh", ".py", ".pl", ".rb", ".js", ".php", ".bash") else program.name
    parts = [name, *(word for word in words[1:2] if _WORD.match(word))]
    if name == "run-parts":
        parts = [PurePosixPath(words[-1]).name]
    slug = re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower())[:LONGEST_ID]
    return slug.strip("-")


def _free(job_id: str, used: set[str]) -> str:
    names = chain([job_id], (f"{job_id}-{number}" for number in count(2)))
    return next(name for name in names if name not in used)


def _document(entry: Entry, origin: str, timezone: str) -> dict[str, Any]:
    environment = entry.environment
    zone = next((environment[name] for name in ZONES if environment.get(name)), timezone)
    schedule: Any = entry.schedule if zone == "UTC" else {"cron": entry.schedule, "timezone": zone}
    if (delay := environment.get("RANDOM_DELAY", "")).isdigit() and int(delay):
        schedule = {"cron": entry.schedule, "timezone": zone, "jitter": f"{int(delay)}m"}
    shell: dict[str, Any] = {"command": _command(entry)}
    shell["cwd"] = environment.get("HOME") or HOME
    if kept := {name: value for name, value in environment.items() if name not in NOT_FOR_THE_JOB}:
        shell["env"] = kept
    shell["interpreter"] = environment.get("SHELL") or DEFAULT_SHELL
    described = {"description": entry.comment[:1000]} if entry.comment else {}
    return {
        **described,
        "enabled": False,
        "origin": origin,
        "tags": [TAG],
        "schedule": schedule,
        "run": {"shell": shell},
    }


def _command(entry: Entry) -> str:
    """With cron's standard input, which the shell gives it here."""
    if not entry.stdin:
        return entry.command
    lines = " ".join(shlex.quote(line) for line in entry.stdin)
    return f"printf '%s\\n' {lines} | {{\n{entry.command}\n}}"


def _hints(entry: Entry, user: str) -> list[str]:
    """Without the job's name: what holds for many is told once."""
    environment = entry.environment
    hints: list[str] = []
    if entry.user not in (None, user):
        hints.append(f"cron ran it as {entry.user}; as a job it runs as whoever runs the worker ({user}).")
    if mail := environment.get("MAILTO"):
        tells = "ocs jobs add tell-somebody --after JOB --on failure --shell '...'"
        hints.append(f"cron mailed its output to {mail}; output is kept with each run. Tell somebody: {tells}")
    if secrets := [name for name in environment if SECRET.search(name)]:
        hints.append(f"{', '.join(secrets)} looks secret; put it into a Secret block and run.shell.secrets.")
    return hints
