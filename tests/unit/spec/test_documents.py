"""The rules of one job document: what is taken, what is refused, where, and in which words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis.strategies import dictionaries, sampled_from
from pydantic import ValidationError

from ocs.errors import InvalidJob
from ocs.spec import Job, parse, parse_stored
from tests.unit.spec.documents import SMALLEST, problems_of, problems_of_document

AGENT: dict[str, Any] = {"agent": {"message": "Summarise."}}
QUIET = {"when": "never", "opt_out_reason": "its log is read daily"}
EXPECTED = {"schedule": "@daily", "expect": {"success_every": "1d"}, "deliver": {"to": "ops"}}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="by hand"),
        pytest.param({"schedule": "@hourly"}, id="cron as text"),
        pytest.param({"schedule": {"every": 90}}, id="whole seconds"),
        pytest.param({"name": "x" * 200, "description": "two\nlines\tand a tab"}, id="12: newline accepted"),
        pytest.param({"after": {"job": "load"}, "run": AGENT}, id="6: a child may be silent"),
        pytest.param({"run": AGENT, "deliver": QUIET}, id="6: a reason given"),
        pytest.param({"deliver": {"when": "never"}}, id="5: never accepted"),
        pytest.param({"run": {"watchdog": {"label": "b", "check": "./done"}}}, id="5: watchdog exempt"),
        pytest.param({"run": {"main": "Check the inbox."}}, id="5: main exempt"),
        pytest.param({"deliver": {"to": "telegram:-100"}}, id="channel and target"),
        pytest.param({"deliver": {"to": "@ops"}}, id="92: an alias"),
        pytest.param({"deliver": {"to": "slack-webhook/ops"}}, id="a notification block"),
        pytest.param({"identity": {"document": '{"a": 1}'}}, id="15: JSON as text"),
        pytest.param({"run": {"shell": {"command": "x", "env": {"EMPTY": ""}}}}, id="an empty value"),
        pytest.param({"run": {"shell": {"command": "x", "cwd": ""}}, "origin": " "}, id="blank is none"),
        pytest.param({"enabled": "no"}, id="yes and no as YAML 1.2 reads them"),
        pytest.param({"after": {"job": "load", "match": {"regex": r"\d{4}-\d{2}"}}}, id="counted repeats"),
        pytest.param({"approval": True}, id="yes is required"),
        pytest.param({"after": {"job": "load", "match": "rows"}}, id="a match as text is contained"),
        pytest.param({"schedule": None, "after": None, "deliver": None}, id="null is none"),
    ],
)
def test_is_a_job(changes: dict[str, Any]) -> None:
    assert problems_of(**changes) == []


@pytest.mark.parametrize(
    ("changes", "path", "told"),
    [
        pytest.param({"id": None}, "id", "must be text", id="no id"),
        pytest.param({"id": "Nightly Report"}, "id", 'write "nightly-report"', id="slug suggested"),
        pytest.param({"id": "x" * 65}, "id", "is 65 characters long; at most 64", id="long id"),
        pytest.param({"id": "-x"}, "id", "no dash at its ends", id="dash"),
        pytest.param({"id": "x\n"}, "id", "small letters", id="newline in id"),
        pytest.param({"run": {"shell": "true", "timeout": 0}}, "run.timeout", "at least 1s", id="2: timeout 0"),
        pytest.param({"run": {"shell": "a", "main": "b"}}, "run", "keep one of shell and main", id="4: two kinds"),
        pytest.param({"schedule": {"in": "2h"}}, "schedule.in", "ocs jobs add --in", id="in is an option"),
        pytest.param({"run": {}}, "run", "exactly one of shell, agent, main and watchdog", id="4: no kind"),
        pytest.param({"deliver": {}}, "deliver.to", "name whom to tell", id="5: announce without target"),
        pytest.param({"run": AGENT}, "deliver", "opt_out_reason", id="6: no delivery, no reason"),
        pytest.param({**EXPECTED, "schedule": None}, "expect", "only runs by hand", id="nothing is ever due"),
        pytest.param({**EXPECTED, "expect": {}}, "expect", "say success_every or deadline", id="expects nothing"),
        pytest.param({**EXPECTED, "deliver": None}, "expect", "nobody would be told", id="nobody to tell"),
        pytest.param({**EXPECTED, "deliver": {"when": "never"}}, "expect", "nobody would be told", id="tells never"),
        pytest.param(
            {**EXPECTED, "schedule": None, "after": {"job": "a"}, "expect": {"deadline": "06:30"}},
            "expect.deadline",
            "needs a schedule",
            id="a child with a deadline",
        ),
        pytest.param(
            {**EXPECTED, "schedule": {"at": "2027-02-01T16:00:00Z"}}, "expect.success_every", "succeeds once", id="once"
        ),
        pytest.param(
            {**EXPECTED, "expect": {"deadline": "06:30", "grace": "1h"}}, "expect.grace", "success_every", id="grace"
        ),
        pytest.param({**EXPECTED, "expect": {"deadline": "6:30"}}, "expect.deadline", '"06:30"', id="one digit"),
        pytest.param({**EXPECTED, "expect": {"deadline": "24:00"}}, "expect.deadline", "not a time of day", id="24:00"),
        pytest.param({**EXPECTED, "expect": {"deadline": 990}}, "expect.deadline", "in quotes", id="a number"),
        pytest.param({**EXPECTED, "expect": {"success_every": "1s"}}, "expect.success_every", "at least 1m", id="1s"),
        pytest.param({"deliver": {"to": "ops", "after": 0}}, "deliver.after", "at least 1", id="after no failure"),
        pytest.param({"deliver": {"to": "ops", "repeat": "1m"}}, "deliver.repeat", "at least 5m", id="repeats"),
        pytest.param({"run": AGENT, "deliver": {"when": "never"}}, "deliver.opt_out_reason", "why", id="6: never"),
        pytest.param({"after": {"on": "success"}}, "after.job", "is missing", id="7: no parent"),
        pytest.param({"after": {"job": "a"}, "schedule": "@daily"}, "schedule", "remove", id="8: child with a time"),
        pytest.param({"schedule": {}}, "schedule", "it has none of them", id="9: no time"),
        pytest.param({"schedule": {"at": " "}}, "schedule.at", "is not a moment", id="9: blank"),
        pytest.param({"schedule": {"at": "soon"}}, "schedule.at", "write it like 2027-", id="9: unparseable"),
        pytest.param({"schedule": "0 0 31 2 *"}, "schedule", "February has no 31st", id="10: reserved"),
        pytest.param(
            {"schedule": {"cron": "@daily", "timezone": "Europe/Wien"}},
            "schedule.timezone",
            "Nearest: Europe/Vienna.",
            id="11: zone",
        ),
        pytest.param({"name": "x" * 201}, "name", "is 201 characters long; at most 200", id="12: long name"),
        pytest.param({"run": "echo \x07"}, "run", r"control character '\x07'", id="12: control character"),
        pytest.param({"run": {"shell": {"command": "a\x00"}}}, "run.shell.command", "control", id="12: NUL"),
        pytest.param({"run": "\ud800"}, "run", "Unicode", id="a lone surrogate"),
        pytest.param({"run": "  "}, "run", "must not be blank", id="blank command"),
        pytest.param({"retry": {"max": -1}}, "retry.max", "at least 0, not -1", id="13: retries"),
        pytest.param({"lifecycle": {"ttl": "30m"}}, "lifecycle.ttl", "at least 1h", id="13: ttl"),
        pytest.param({"output": {"store": 127}}, "output.store", "at least 128, not 127", id="13: store"),
        pytest.param({"output": {"store": 128, "summary": 129, "excerpt": 129}}, "output.excerpt", "store", id="14"),
        pytest.param({"output": {"excerpt": 70, "summary": 69}}, "output.summary", "excerpt", id="14: summary"),
        pytest.param({"identity": {"document": "x"}}, "identity.document", "not JSON", id="15: no JSON"),
        pytest.param({"identity": {"document": "[]"}}, "identity.document", "a group of keys", id="15: a list"),
        pytest.param({"evidence": {"document": {"a": "b" * 32768}}}, "evidence.document", "at most 32768", id="15"),
        pytest.param({"contract": {"max_cost_usd": -1}}, "contract.max_cost_usd", "at least 0.0001", id="cost"),
        pytest.param({"after": {"job": "a", "match": {"regex": "("}}}, "after.match.regex", "missing )", id="16"),
        pytest.param({"after": {"job": "a", "match": {}}}, "after.match", "exactly one of", id="16: empty"),
        pytest.param(
            {"after": {"job": "a", "match": {"regex": "((a{999}){999}){999}"}}},
            "after.match.regex",
            "smaller counts",
            id="a regex that fills the memory",
        ),
        pytest.param(
            {"after": {"job": "a", "match": {"jsonpath": "rows"}}}, "after.match.jsonpath", "$.rows", id="path"
        ),
        pytest.param({"after": {"job": "disk-space"}}, "after.job", "cannot run after itself", id="17: self"),
        pytest.param({"retry": {"delay": "2h"}}, "retry.cap", "make it 2h or more", id="cap below delay"),
        pytest.param({"retry": {"max": True}}, "retry.max", "a whole number, not true", id="a bool is no number"),
        pytest.param({"retry": {"max": "3"}}, "retry.max", 'a whole number, not "3"', id="text is no number"),
        pytest.param({"retry": {"on": []}}, "retry.on", "at least one", id="retry on nothing"),
        pytest.param({"retry": {"jitter": "150%"}}, "retry.jitter", "at most 1", id="percentage"),
        pytest.param(
            {"limits": {"overlap": "skp"}},
            "limits.overlap",
            'skip, queue, allow, replace, not "skp". Nearest: skip.',
            id="enum",
        ),
        pytest.param({"limits": {"max_fanout": 0}}, "limits.max_fanout", "at least 1", id="fan-out"),
        pytest.param({"enabled": "maybe"}, "enabled", 'true or false, not "maybe"', id="bool"),
        pytest.param({"tags": "reports"}, "tags", "must be a list", id="list"),
        pytest.param({"tags": ["ok", "after:load"]}, "tags.1", "ocs sets itself", id="a tag of ours"),
        pytest.param({"deliver": {"to": "Ops Room"}}, "deliver.to", "channel:target", id="no block's name"),
        pytest.param({"deliver": {"to": ["ops", "Ops Room"]}}, "deliver.to.1", "channel:target", id="second of two"),
        pytest.param({"deliver": {"to": 5}}, "deliver.to", "must be a list", id="no list"),
        pytest.param(
            {"deliver": {"when": "always", "on_failure": "ops"}}, "deliver.to", "name whom to tell", id="only failures"
        ),
        pytest.param({"deliver": {"to": "slack:"}}, "deliver.to", "empty side", id="no target"),
        pytest.param({"deliver": {"to": "a/b/c"}}, "deliver.to", "slack-webhook/ops", id="no notification block"),
        pytest.param(
            {"run": {"shell": {"command": "x", "env": {"PORT": 80}}}}, "run.shell.env.PORT", '"80"', id="quotes"
        ),
        pytest.param(
            {"run": {"shell": {"command": "x", "env": {"A-B": ""}}}}, "run.shell.env.A-B", "letters", id="name"
        ),
        pytest.param({"run": {"shell": {"command": "x", "env": {"A": "\0"}}}}, "run.shell.env.A", "control", id="NUL"),
        pytest.param(
            {"run": {"shell": {"command": "x", "secrets": {"A": "My Secret"}}}},
            "run.shell.secrets.A",
            'write "my-secret"',
            id="a block's name",
        ),
        pytest.param(
            {"run": {"shell": {"command": "x", "env": {"A": "1"}, "secrets": {"A": "b"}}}},
            "run.shell.secrets.A",
            "keep one",
            id="plain and secret",
        ),
        pytest.param(
            {"run": {"agent": {"message": "x", "auth_profile": "mine"}}, "deliver": QUIET},
            "run.agent.auth_profile",
            "provider:label",
            id="auth profile",
        ),
        pytest.param(
            {"run": {"agent": {"message": "x", "fallback_models": ["a/m"]}}, "deliver": QUIET},
            "run.agent.fallback_models",
            "set retry.max",
            id="fallback models without retries",
        ),
        pytest.param(
            {
                "run": {"agent": {"message": "x", "model": "a/m", "fallback_models": ["b/m", "a/m"]}},
                "retry": {"max": 1},
                "deliver": QUIET,
            },
            "run.agent.fallback_models",
            "twice",
            id="fallback models twice",
        ),
        pytest.param(
            {"run": {"watchdog": {"label": "b", "check": "x" * 4097}}}, "run.watchdog.check", "4096", id="long check"
        ),
        pytest.param(
            {"run": {"watchdog": {"label": "b", "check": {"command": "x", "success_codes": [0, 1]}}}},
            "run.watchdog.check.success_codes",
            "is for shell jobs",
            id="a check's codes",
        ),
        pytest.param(
            {"run": {"shell": {"command": "x", "success_codes": []}}},
            "run.shell.success_codes",
            "at least one",
            id="no code",
        ),
        pytest.param(
            {"run": {"shell": {"command": "x", "success_codes": [256]}}},
            "run.shell.success_codes.0",
            "at most 255",
            id="code",
        ),
        pytest.param(
            {"run": {"watchdog": {"label": "b", "check": "x", "started_at": "2027-01-01T00:00:00"}}},
            "run.watchdog.started_at",
            "no offset",
            id="watchdog's start",
        ),
        pytest.param(
            {"run": {"main": "x"}, "identity": {"document": {"presentation": {}}}},
            "identity.document.presentation",
            "only for shell jobs",
            id="credentials are for shells",
        ),
        pytest.param({"on_event": [{"expect": []}]}, "on_event.0.expect", "at least one", id="no event"),
        pytest.param(
            {"on_event": [{"expect": "a", "match": {"b": 1}}]}, "on_event.0.match", "b must be text", id="label"
        ),
        pytest.param(
            {"on_event": [{"expect": "a", "posture": "Proactive"}]}, "on_event.0.within", "at least 10s", id="proactive"
        ),
        pytest.param({"schedule": ["@daily", "x"]}, "schedule.1", "not a cron expression", id="second schedule"),
        pytest.param(
            {"schedule": ["@daily", {"every": "5m", "misfire": "skip"}]},
            "schedule.1.misfire",
            "It belongs to: schedule.misfire",
            id="what holds for all",
        ),
        pytest.param({"schedule": ["@daily", "@daily"]}, "schedule.also", "stand twice", id="the same times"),
        pytest.param(
            {"schedule": {"at": "2027-01-01", "also": ["@daily"]}},
            "schedule.also",
            "stands alone",
            id="a moment and more",
        ),
        pytest.param({"schedule": []}, "schedule", "none of them", id="no schedule"),
        pytest.param(
            {"schedule": {"cron": "@daily", "except": ["24.12."]}}, "schedule.except.dates", "2026-12-24", id="no day"
        ),
        pytest.param(
            {"schedule": {"cron": "@daily", "except": {"holidays": "Austria"}}},
            "schedule.except.holidays",
            "AT or DE-BY",
            id="no country",
        ),
        pytest.param(
            {"schedule": {"cron": "@daily", "except": {"holidays": "DE-BX"}}},
            "schedule.except.holidays",
            "Known: BB, BE",
            id="no region",
        ),
        pytest.param({"retires": 3}, "retires", "unknown key. Nearest: retry.", id="nearest key"),
        pytest.param({"limits": {"fanout": 1}}, "limits.fanout", "Nearest: max_fanout.", id="nearest inside"),
        pytest.param({"timeout": "5m"}, "timeout", "It belongs to: run.timeout", id="a key of another group"),
        pytest.param({"zzz": 1}, "zzz", "unknown key. Known: id, name", id="no such key"),
    ],
)
def test_is_refused_in_one_sentence(changes: dict[str, Any], path: str, told: str) -> None:
    [problem] = problems_of(**changes)
    assert problem.path == path
    assert told in problem.message
    assert "\n" not in problem.message


@pytest.mark.parametrize("document", [None, [], "echo", 3])
def test_only_a_group_of_keys_is_a_document(document: Any) -> None:
    [problem] = problems_of_document(document)
    assert "a job is a group of keys such as id and run" in problem.message


def test_every_violation_is_told_at_once() -> None:
    found = problems_of_document(
        {
            "name": "x" * 201,
            "schedule": {"cron": "0 0 30 2 *", "misfire": "never", "evry": "5m"},
            "after": {"job": "load"},
            "run": {"shell": {"command": "", "timeout": "5m"}},
            "deliver": {"when": "always"},
            "output": {"excerpt": 70000, "summary": 100},
            "retires": 2,
        }
    )
    assert {problem.path for problem in found} == {
        "id",
        "name",
        "schedule",
        "schedule.cron",
        "schedule.misfire",
        "schedule.evry",
        "run.shell.command",
        "run.shell.timeout",
        "deliver.to",
        "output.excerpt",
        "output.summary",
        "retires",
    }


def test_the_error_names_the_job_and_what_is_wrong() -> None:
    with pytest.raises(InvalidJob, match='Job "disk-space" is not valid: retires: unknown key') as refused:
        parse({**SMALLEST, "retires": 1})
    assert len(refused.value.problems) == 1


def test_who_validates_without_parse_reads_the_rules_across_fields_too() -> None:
    """Prefect validates the flow's parameter itself, and shows what pydantic says."""
    with pytest.raises(ValidationError, match="cannot run after itself"):
        Job.model_validate({**SMALLEST, "after": {"job": "disk-space"}})


def test_a_job_of_a_strategy_that_is_not_here_can_be_read_and_not_written() -> None:
    """What is stored may need a package that was uninstalled: the job is known, and fails when it runs."""
    document = {"id": "a", "run": {"ftp": {"host": "example.org"}, "timeout": "1h"}}
    job = Job.model_validate(document)
    assert (job.run.strategy, job.document()) == ("ftp", document)
    assert Job.model_validate(job.document()) == job
    assert parse_stored(document) == job
    [problem] = problems_of(run={"ftp": "example.org"})
    assert problem.path == "run.ftp"
    assert (
        problem.message
        == "unknown key. Known: "
        + ", ".join(["shell", "agent", "main", "watchdog", "timeout", "guarantee", "max_replays"])
        + ". Installed strategies: shell, agent, main, watchdog."
    )


def test_a_strategy_that_a_form_left_empty_is_none() -> None:
    written = {"shell": "true", "agent": None, "main": None}
    assert parse({"id": "a", "run": written}) == parse({"id": "a", "run": "true"})
    assert [problem.path for problem in problems_of(run={**written, "tiemout": None})] == ["run.tiemout"]


def test_a_job_cannot_be_changed() -> None:
    job = parse(SMALLEST)
    with pytest.raises(ValidationError):
        job.enabled = False  # pyright: ignore[reportAttributeAccessIssue]


def test_braces_guarded_for_prefect_deploy_are_read_as_written() -> None:
    assert parse({"id": "a", "run": "docker ps --format '{\u2060{.Names}}'"}) == parse(
        {"id": "a", "run": "docker ps --format '{{.Names}}'"}
    )


JUNK = [
    None, True, -1, 0, 3.5, float("nan"), float("inf"), 10**400, "", " ", "\x00", "\ud800", "{{", "9" * 1000, "a\nb",
    [], [1], [[]], {}, {1: 2}, {None: None}, {"\ud800": "\n"}, b"x", {1, 2}, ("a",), "0 0 30 2 *", "-5%", "64KiB",
]  # fmt: skip
PATHS = [
    "id", "name", "tags", "schedule", "schedule.cron", "schedule.every", "schedule.rrule", "schedule.at",
    "schedule.timezone", "schedule.jitter", "schedule.except", "schedule.also",
    "after", "after.job", "after.match", "after.match.regex",
    "after.match.jsonpath", "on_event", "run", "run.shell", "run.shell.success_codes", "run.shell.env",
    "run.shell.secrets", "run.agent",
    "run.agent.context.from", "run.watchdog.check", "run.watchdog.started_at", "run.timeout", "limits.overlap",
    "retry.jitter", "retry.on", "retry.factor", "deliver", "deliver.to",
    "deliver.on_failure", "output.store", "lifecycle.ttl", "identity",
    "identity.document", "contract.allowed_paths", "contract.max_cost_usd", "nonsense", "limits.nonsense",
]  # fmt: skip


@settings(deadline=None)
@given(dictionaries(sampled_from(PATHS), sampled_from(JUNK), min_size=1, max_size=4))
def test_junk_is_a_problem_in_a_printable_line_or_a_job(wrong: dict[str, Any]) -> None:
    document: dict[str, Any] = dict(SMALLEST)
    for path, value in wrong.items():
        *groups, key = path.split(".")
        here = document
        for group in groups:
            if not isinstance(here.get(group), dict):
                here[group] = {}
            here = here[group]
        here[key] = value
    for problem in problems_of_document(document):
        line = str(problem)
        assert line.isprintable()
        assert line.encode()
        assert len(line) < 600


def test_a_document_that_holds_itself_is_refused() -> None:
    """YAML's anchors can write one."""
    environment: dict[str, Any] = {}
    environment["A"] = environment
    [problem] = problems_of(run={"shell": {"command": "true", "env": environment}})
    assert "refers to itself" in problem.message


def test_rules_across_fields_are_told_beside_broken_fields() -> None:
    paths = [problem.path for problem in problems_of(schedule="x", after={"job": "disk-space"}, retry=3)]
    assert sorted(paths) == ["after.job", "retry", "schedule", "schedule"]
