"""Crontab entries as job documents: a readable id, cron's own circumstances, and what a person should know of it."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal

from deployments.crontab import Entry, Left
from deployments.crontab_names import readable_id
from deployments.importing.naming import Names
from deployments.secret_words import holds_secret, is_secret_name
from ocs.rules.occurrences import occurrences
from ocs.spec import Schedule, violations

TAG = "crontab"
ORIGIN = "crontab:"
DIGEST = 12
NOT_FOR_THE_JOB = frozenset({"SHELL", "LOGNAME", "USER", "MAILTO", "MAILFROM", "RANDOM_DELAY", "CRON_TZ"})
DEFAULT_SHELL = "/bin/sh"
DEFAULT_PATH = "/usr/bin:/bin"
HOME = "~"
ENDLESS = "7d"
"""Cron ends nothing, however long it takes."""
SOON = timedelta(hours=1)
"""What comes again within that may well find itself running."""
SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
LOOKED_AT = 100
CRONS_OWN = {
    "schedule.misfire": "as cron: what was missed is not made up for; without this line the newest is (coalesce)",
    "run.shell.cwd": "as cron; without this line the project's folder",
    "run.shell.env.PATH": "as cron; without this line the worker's",
    "run.shell.env.SHELL": "as cron; without this line the worker's",
    "run.shell.interpreter": "as cron; without this line /bin/bash",
    "run.timeout": "cron ends nothing; without this line it is ended after 5m",
    "limits.overlap": "as cron: it starts beside one that still runs; without this line it is skipped",
    "backoff": "as cron; without this line a schedule pauses after failures, up to 1h",
    "deliver.when": "cron mailed all output; always tells of runs that went well, too",
}
"""What a job would do by our defaults where cron does something else: the comments behind what says so."""
Overlap = Literal["allow", "skip", "queue", "replace"]
OTHERWISE = {"skip": "is skipped", "queue": "waits for it", "replace": "ends that one"}


@dataclass(frozen=True, slots=True)
class Imported:
    """An entry and the job it becomes; `document` is empty when the catalogue has it already.

    `hints` are what a person should know of it, each a sentence whose subject is the job.
    """

    entry: Entry
    job_id: str
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])
    comments: Mapping[str, str] = field(default_factory=dict[str, str])
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Here:
    """Where the jobs will run: cron's time zone, who will run them, and targets by their e-mail addresses.

    `overlap` is what a job does that is due while it still runs.
    """

    timezone: str
    user: str
    targets: Mapping[str, str] = field(default_factory=dict[str, str])
    overlap: Overlap = "allow"


DIGEST_END = len(ORIGIN) + DIGEST
LONGEST_ORIGIN = 256


def placed(origin: str, place: str) -> str:
    """An origin that says where the line stood; without it where that is too long to be kept."""
    whole = f"{origin} {place}"
    return whole if len(whole) <= LONGEST_ORIGIN and place.isprintable() else origin


def bare(origin: str) -> str:
    """An origin without its place."""
    return origin[:DIGEST_END]


def place_of(origin: str) -> str | None:
    """Where the line stood; None of a job that was imported before that was kept."""
    return origin[DIGEST_END + 1 :] or None


def jobs_of(
    entries: Sequence[Entry], here: Here, *, known: Mapping[str, str], taken: Sequence[str], place: str = ""
) -> list[Imported]:
    """A disabled job for each entry. `known` maps origins that the catalogue has to job ids, `taken` are its ids."""
    names = Names(taken)
    found: dict[str, Imported] = {}
    for entry in entries:
        origin = origin_of(entry)
        if origin in found:
            found[origin] = _twin(found[origin], entry)
            continue
        if origin in known:
            found[origin] = Imported(entry, known[origin])
            continue
        job_id = names.free(readable_id(entry.command, entry.comment))
        document = {"id": job_id, **_document(entry, placed(origin, place) if place else origin, here)}
        found[origin] = Imported(entry, job_id, document, _comments(document), tuple(_hints(entry, document, here)))
    return list(found.values())


def valid(jobs: Iterable[Imported]) -> tuple[list[Imported], list[Left]]:
    """Those whose documents keep the rules, and the lines of the others: a zone that is not known, a delay too long."""
    good: list[Imported] = []
    left: list[Left] = []
    for job in jobs:
        if problems := violations(job.document) if job.document else []:
            left.append(Left(job.entry.line, job.entry.text, "; ".join(map(str, problems))))
        else:
            good.append(job)
    return good, left


def _twin(first: Imported, entry: Entry) -> Imported:
    said = f"runs once where cron runs twice: line {entry.line} says the same as line {first.entry.line}"
    return replace(first, hints=(*first.hints, said))


def origin_of(entry: Entry) -> str:
    """What makes two entries the same: all that cron would do differently."""
    said = (entry.schedule, entry.command, entry.stdin, entry.user, sorted(entry.environment.items()))
    return ORIGIN + hashlib.sha256(repr(said).encode()).hexdigest()[:DIGEST]


def _document(entry: Entry, origin: str, here: Here) -> dict[str, Any]:
    described = {"description": entry.comment[:1000]} if entry.comment else {}
    targets = _targets(entry, here)
    return {
        **described,
        "enabled": False,
        "origin": origin,
        "tags": [TAG],
        "schedule": _schedule(entry, here.timezone),
        "run": {"shell": _shell(entry), "timeout": ENDLESS},
        "limits": {"overlap": here.overlap},
        "backoff": False,
        **({"deliver": {"when": "failure", "to": targets}} if targets else {}),
    }


def _schedule(entry: Entry, timezone: str) -> dict[str, Any]:
    """CRON_TZ is the zone of its times; TZ is a variable of the command alone."""
    zone = entry.environment.get("CRON_TZ") or timezone
    schedule = {"cron": entry.schedule, "timezone": zone}
    delay = entry.environment.get("RANDOM_DELAY", "")
    if delay.isascii() and delay.isdecimal() and (minutes := delay.lstrip("0")):
        schedule["jitter"] = f"{minutes}m"
    return {**schedule, "misfire": "skip"}


def _shell(entry: Entry) -> dict[str, Any]:
    given = {name: value for name, value in entry.environment.items() if name not in NOT_FOR_THE_JOB}
    interpreter = entry.environment.get("SHELL") or DEFAULT_SHELL
    return {
        "command": command_of(entry),
        "cwd": given.get("HOME") or HOME,
        "env": {"PATH": DEFAULT_PATH, "SHELL": interpreter, **given},
        "interpreter": interpreter,
    }


def _targets(entry: Entry, here: Here) -> list[str]:
    """Targets for all whom cron mailed to; none when one of them has none."""
    addresses = [address.strip().lower() for address in entry.environment.get("MAILTO", "").split(",")]
    return [here.targets[address] for address in addresses] if all(map(here.targets.get, addresses)) else []


def _comments(document: Mapping[str, Any]) -> dict[str, str]:
    """Those that are about something in the document, and not about what stood in the crontab itself."""
    shell = document["run"]["shell"]
    said = {
        "run.shell.cwd": shell["cwd"] == HOME,
        "run.shell.env.PATH": shell["env"]["PATH"] == DEFAULT_PATH,
        "run.shell.env.SHELL": shell["interpreter"] == DEFAULT_SHELL,
        "run.shell.interpreter": shell["interpreter"] == DEFAULT_SHELL,
        "limits.overlap": document["limits"]["overlap"] == "allow",
        "deliver.when": "deliver" in document,
    }
    return {path: comment for path, comment in CRONS_OWN.items() if said.get(path, True)}


def command_of(entry: Entry) -> str:
    """With cron's standard input, which the shell gives it here."""
    if not entry.stdin:
        return entry.command
    lines = " ".join(shlex.quote(line) for line in entry.stdin)
    return f"printf '%s\\n' {lines} | {{\n{entry.command}\n}}"


def _hints(entry: Entry, document: Mapping[str, Any], here: Here) -> Iterator[str]:
    """Without the job's name: what holds for many is told once."""
    environment = entry.environment
    if entry.user not in (None, here.user):
        yield f"cron ran it as {entry.user}; as a job it runs as whoever runs the worker ({here.user})."
    if (mail := environment.get("MAILTO")) and "deliver" not in document:
        yield (
            f"cron mailed its output to {mail}, for which there is no target here; output is kept with each run. "
            "To be told of failures: ocs targets add mail --apprise -  "
            "and then  ocs jobs edit JOB --set deliver.to=mail"
        )
    if secrets := [name for name in environment if is_secret_name(name)]:
        yield f"{', '.join(secrets)} looks secret; put it into a Secret block and run.shell.secrets."
    if holds_secret(command_of(entry)):
        yield "its command holds what looks secret; put it into a Secret block and run.shell.secrets."
    if zone := environment.get("TZ"):
        times = document["schedule"]["timezone"]
        yield f"TZ={zone} is a variable of its command; its times are in {times}, as cron's."
    if here.overlap != "allow" and _comes_soon(document["schedule"]):
        yield f"cron starts it beside one that still runs; here it then {OTHERWISE[here.overlap]} (limits.overlap)."


def _comes_soon(schedule: Mapping[str, Any]) -> bool:
    """Whether it may come again while it still runs."""
    due = occurrences(Schedule.model_validate({"cron": schedule["cron"]}), SOME_TIME, LOOKED_AT)
    return any(later - earlier <= SOON for earlier, later in pairwise(due))
