"""What the tests of the job document share: the smallest job, its problems, and jobs of every shape."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from hypothesis.strategies import (
    SearchStrategy,
    booleans,
    builds,
    characters,
    dates,
    dictionaries,
    fixed_dictionaries,
    floats,
    from_regex,
    integers,
    just,
    lists,
    none,
    one_of,
    recursive,
    sampled_from,
    text,
)

from ocs.errors import InvalidJob, Problem
from ocs.spec import format_duration, parse
from ocs.spec.written import parse_duration

SMALLEST: dict[str, Any] = {"id": "disk-space", "run": "df -h /"}


def problems_of(**changes: Any) -> list[Problem]:
    """What `parse` has against the smallest job with these changes; a key changed to None is left as None."""
    return problems_of_document({**SMALLEST, **changes})


def problems_of_document(document: Any) -> list[Problem]:
    try:
        parse(document)
    except InvalidJob as invalid:
        return list(invalid.problems) or [Problem("", "refused without a reason")]
    return []


def _words(longest: int = 30) -> SearchStrategy[str]:
    allowed = characters(exclude_categories=["Cs"], exclude_characters="".join(map(chr, [*range(32), 127])))
    return text(allowed, min_size=1, max_size=longest).filter(lambda words: bool(words.strip()))


def _group(required: dict[str, SearchStrategy[Any]], optional: dict[str, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    return fixed_dictionaries(required, optional=optional)


SLUGS = from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
DURATIONS = one_of(integers(1, 100_000), builds(lambda n, unit: f"{n}{unit}", integers(1, 500), sampled_from("smhd")))
NAMES = from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,10}", fullmatch=True)
LEVELS = sampled_from(["untrusted", "restricted", "supervised", "autonomous"])
JSON = recursive(
    one_of(none(), booleans(), integers(-1000, 1000), floats(allow_nan=False, allow_infinity=False), _words()),
    lambda inner: one_of(lists(inner, max_size=3), dictionaries(_words(), inner, max_size=3)),
    max_leaves=5,
)
BLOBS = dictionaries(_words().filter(lambda key: key not in ("presentation", "credential_handoff")), JSON, max_size=3)
MOMENTS = integers(0, 10**10).map(lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat())
ZONES = sampled_from(["UTC", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Pacific/Chatham"])
CRONS = sampled_from(
    ["*/15 * * * *", "0 2 * * mon-fri", "@hourly", "0 0 29 2 *", "30 0 0 l * *", "5,10 8-18/2 1 jan *"]
)
RRULES = sampled_from(
    [
        "FREQ=MONTHLY;BYDAY=-1FR",
        "DTSTART:20270101T080000\nRRULE:FREQ=DAILY;COUNT=3",
        "DTSTART:20270101T080000\nRRULE:FREQ=HOURLY",
    ]
)
TIMES = one_of(
    CRONS.map(lambda cron: {"cron": cron}),
    integers(60, 100_000).map(lambda seconds: {"every": seconds}),
    RRULES.map(lambda rule: {"rrule": rule}),
    MOMENTS.map(lambda moment: {"at": moment}),
)
DAYS = lists(dates(date(2020, 1, 1), date(2040, 1, 1)).map(str), max_size=3)
FURTHER = one_of(CRONS.map(lambda cron: {"cron": cron}), integers(60, 100_000).map(lambda seconds: {"every": seconds}))
SCHEDULES = one_of(
    CRONS,
    builds(
        lambda times, rest: {**times, **rest},
        TIMES,
        _group(
            {},
            {
                "timezone": ZONES,
                "jitter": integers(0, 59),
                "misfire": sampled_from(["coalesce", "skip", "all"]),
                "grace": DURATIONS,
                "run_now": booleans(),
            },
        ),
    ),
    builds(
        lambda first, left_out, rest: [{**first, "except": left_out}, *rest],
        FURTHER,
        one_of(DAYS, _group({}, {"dates": DAYS, "holidays": sampled_from(["AT", "de-by", "US-CA"])})),
        lists(FURTHER, max_size=2, unique_by=str),
    ).filter(
        lambda several: all(
            several[0][key] != times.get(key) for times in several[1:] for key in several[0] if key != "except"
        )
    ),
)
MATCHES = one_of(
    _words().map(lambda words: {"contains": words}),
    sampled_from([{"regex": "rows: [1-9]"}, {"jsonpath": "$.rows[?@ > 0]"}]),
)
EVENTS = _group(
    {"expect": one_of(_words(), lists(_words(), min_size=1, max_size=3))},
    {
        "match": dictionaries(_words(), _words(), max_size=2),
        "match_related": dictionaries(_words(), one_of(_words(), lists(_words(), max_size=2)), max_size=2),
        "after": lists(_words(), max_size=2),
        "for_each": lists(_words(), max_size=2),
        "threshold": integers(1, 100),
        "within": DURATIONS,
    },
)
TARGETS = one_of(SLUGS, sampled_from(["telegram:123", "slack:#ops room"]))
CODES = lists(integers(0, 255), min_size=1, max_size=3)
CHECKS = _group(
    {"command": _words()},
    {
        "cwd": _words(),
        "env": dictionaries(NAMES.map(lambda name: f"E{name}"), text(characters(categories=["L", "N"]))),
        "secrets": dictionaries(NAMES.map(lambda name: f"S{name}"), SLUGS),
        "inherit_env": booleans(),
        "interpreter": just("/bin/sh"),
    },
)
AGENTS = _group(
    {"message": _words()},
    {
        "agent": _words(),
        "model": _words(),
        "thinking": _words(),
        "session": sampled_from(["fresh", "job", "main", "a key"]),
        "auth_profile": sampled_from(["inherit", "anthropic:work", None]),
        "idle_timeout": DURATIONS,
        "scope": sampled_from(["own", "global"]),
        "context": _group({}, {"from": sampled_from(["none", "recent", "hybrid"]), "limit": integers(1, 50)}),
        "intent": sampled_from(["execute", "plan"]),
        "read_only": booleans(),
        "job_class": sampled_from(["standard", "pre_compaction_flush"]),
    },
)
SHELLS = builds(lambda shell, rest: {**shell, **rest}, CHECKS, _group({}, {"success_codes": CODES}))
WATCHDOGS = _group(
    {"label": _words(), "check": one_of(_words(), CHECKS)},
    {
        "timeout": integers(60, 9000),
        "started_at": MOMENTS,
        "alert": TARGETS,
        "self_destruct": booleans(),
    },
)
LIMITS_OF_A_RUN = {
    "timeout": DURATIONS,
    "guarantee": sampled_from(["at-most-once", "at-least-once"]),
    "max_replays": integers(0, 9),
}
RUNS = one_of(
    _words(),
    _group({"shell": one_of(_words(), SHELLS)}, LIMITS_OF_A_RUN),
    _group({"agent": AGENTS}, LIMITS_OF_A_RUN),
    _group({"main": _group({"message": _words()}, {"mode": sampled_from(["turn", "event"])})}, LIMITS_OF_A_RUN),
    _group({"watchdog": WATCHDOGS}, LIMITS_OF_A_RUN),
)
DELIVERIES = one_of(
    _group(
        {"to": one_of(TARGETS, lists(TARGETS, min_size=1, max_size=3))},
        {
            "when": sampled_from(["failure", "always"]),
            "on_failure": one_of(TARGETS, lists(TARGETS, max_size=2)),
            "after": integers(1, 9),
            "recovery": booleans(),
            "repeat": integers(300, 100_000),
        },
    ),
    _group({"on_failure": TARGETS}, {}),
    just({"when": "never", "opt_out_reason": "nobody reads it"}),
)
RETRIES = _group(
    {},
    {
        "max": integers(0, 20),
        "delay": integers(0, 3600),
        "factor": floats(1, 10),
        "jitter": one_of(floats(0, 1), sampled_from(["10%", "12.5%"])),
        "on": lists(sampled_from(["error", "timeout"]), min_size=1),
    },
)
APPROVALS = _group(
    {},
    {
        "required": booleans(),
        "on": sampled_from(["all", "chain"]),
        "timeout": DURATIONS,
        "on_timeout": sampled_from(["reject", "approve"]),
        "max_pending": integers(1, 20),
    },
)
OUTPUTS = _group(
    {},
    {
        "store": sampled_from([65536, "64KiB", "1MB"]),
        "excerpt": integers(64, 5000),
        "summary": integers(5000, 9000),
        "offload": integers(128, 100_000),
        "keep": integers(128, 100_000),
    },
)
LIMITS = _group(
    {},
    {
        "overlap": sampled_from(["skip", "queue", "allow", "replace"]),
        "pool": _words(),
        "max_queued": integers(1, 100),
        "max_fanout": integers(1, 100),
    },
)
TRUST: dict[str, SearchStrategy[Any]] = {
    "identity": _group(
        {},
        {
            "principal": _words(),
            "run_as": _words(),
            "trust_level": LEVELS,
            "subject": _group({}, {"kind": sampled_from(["agent", "user"]), "principal": _words()}),
            "document": BLOBS,
        },
    ),
    "authorization": _group({}, {"ref": _words(), "proof": BLOBS}),
    "evidence": _group({}, {"ref": _words(), "document": BLOBS}),
    "contract": _group(
        {},
        {
            "required_trust_level": LEVELS,
            "allowed_paths": lists(_words(), max_size=3),
            "max_cost_usd": floats(0.0001, 1000),
        },
    ),
    "child_credentials": sampled_from(["none", "inherit", "downscope", "independent"]),
}
COMMON: dict[str, SearchStrategy[Any]] = {
    "name": _words(),
    "description": _words(),
    "enabled": booleans(),
    "origin": _words(),
    "tags": lists(_words().map(lambda words: f"t{words}"), max_size=3),
    "aliases": lists(_words(), max_size=2),
    "on_event": lists(EVENTS, max_size=2),
    "limits": LIMITS,
    "retry": RETRIES,
    "backoff": booleans(),
    "approval": APPROVALS,
    "output": OUTPUTS,
    "lifecycle": _group(
        {},
        {
            "delete_after_run": booleans(),
            "ttl": integers(1, 500).map(lambda hours: format_duration(parse_duration(f"{hours}h"))),
            "keep_runs": integers(1, 1000),
        },
    ),
    **TRUST,
}
# Ids of parents start with a letter that no id of a job here starts with: no job runs after itself.
ROOTS = _group({"id": SLUGS, "run": RUNS, "deliver": DELIVERIES}, {"schedule": SCHEDULES, **COMMON})
CHILDREN = _group(
    {
        "id": SLUGS.map(lambda slug: f"c{slug}"),
        "run": RUNS,
        "after": _group(
            {"job": SLUGS.map(lambda slug: f"p{slug}")},
            {"on": sampled_from(["success", "failure", "complete"]), "delay": DURATIONS, "match": MATCHES},
        ),
    },
    {"deliver": DELIVERIES, **COMMON},
)
DOCUMENTS = one_of(ROOTS, CHILDREN)
"""Any valid document."""
