"""Values set in a document: its comments stay, and stand where they stood."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.yaml_text import load, with_values
from ocs.errors import UsageError

WRITTEN = """\
# head

# the name
id: hello   # everywhere the same
tags: [a, b]   # two

# the work
run: |   # any command
  echo hello
  # not a comment

# the retries
# of the work
retry:
  max: 2   # two more
  # one more day
  cap: 1d
after:
  match: {contains: x}   # a look

# the end
"""


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('{"run": "echo \\ud83c\\udf89!"}', {"run": "echo \N{PARTY POPPER}!"}),
        ('{"\\ud83c\\udf89": ["\\uD83C\\uDF89"]}', {"\N{PARTY POPPER}": ["\N{PARTY POPPER}"]}),
        ("run: |\n  printf '\\ud83c\\udf89'\n", {"run": "printf '\\ud83c\\udf89'\n"}),
        ('{"run": "\\udf89\\ud83c"}', {"run": "\udf89\ud83c"}),
    ],
)
def test_characters_that_json_writes_in_two_halves_are_whole(written: str, read: dict[str, Any]) -> None:
    assert load(written) == read


def test_a_json_document_with_such_characters_can_be_changed() -> None:
    changed = with_values('{"id": "a", "run": "echo \\ud83c\\udf89"}', {"name": "A"})
    assert load(changed) == {"id": "a", "run": "echo \N{PARTY POPPER}", "name": "A"}
    assert changed.encode()


def test_nothing_set_nothing_changed() -> None:
    assert with_values(WRITTEN, {}) == WRITTEN


@pytest.mark.parametrize(
    ("values", "before", "after"),
    [
        (
            {"run.timeout": "5m"},
            "run: |   # any command\n  echo hello\n  # not a comment\n",
            "run:\n  shell: |   # any command\n    echo hello\n    # not a comment\n  timeout: 5m\n",
        ),
        (
            {"run.shell.cwd": "/srv"},
            "run: |   # any command\n  echo hello\n  # not a comment\n",
            "run:\n  shell:\n    command: |   # any command\n      echo hello\n      # not a comment\n    cwd: /srv\n",
        ),
        ({"retry.delay": "5s"}, "  cap: 1d\n", "  cap: 1d\n  delay: 5s\n"),
        ({"after.match.contains": "y"}, "{contains: x}   # a look", "{contains: y}   # a look"),
        ({"after.job": "a"}, "# a look\n", "# a look\n  job: a\n"),
        ({"enabled": False}, "# a look\n", "# a look\nenabled: false\n"),
        ({"retry.max": None}, "  max: 2   # two more\n", ""),
        ({"limits.pool": None}, "", ""),
    ],
)
def test_what_is_added_stands_before_the_comment_of_what_follows(
    values: dict[str, Any], before: str, after: str
) -> None:
    changed = with_values(WRITTEN, values)
    assert changed == WRITTEN.replace(before, after)
    assert load(changed) == load(WRITTEN.replace(before, after))


@pytest.mark.parametrize(
    "run", ["echo hi   # says hi", ">-   # folded\n  echo\n  hi", '"echo hi"', "{shell: echo hi}   # flow"]
)
def test_a_short_form_takes_its_comment_along(run: str) -> None:
    changed = with_values(f"id: a\nrun: {run}\n\n# what follows\nretry: {{max: 1}}\n# the end\n", {"run.timeout": "1m"})
    assert load(changed) == {"id": "a", "run": {"shell": "echo hi", "timeout": "1m"}, "retry": {"max": 1}}
    for comment in ("# says hi", "# folded", "# flow"):
        assert (comment in changed) is (comment in run)
    assert changed.endswith("\n\n# what follows\nretry: {max: 1}\n# the end\n")


@pytest.mark.parametrize(
    ("before", "path", "value", "after"),
    [
        (
            "schedule: ['0 9 * * *', '0 12 * * 6']   # twice\n",
            "schedule.timezone",
            "UTC",
            [{"cron": "0 9 * * *", "timezone": "UTC"}, "0 12 * * 6"],
        ),
        ("schedule: [{every: 5m}, '@daily']\n", "schedule.jitter", "1m", [{"every": "5m", "jitter": "1m"}, "@daily"]),
        ("schedule: [{every: 5m}, '@daily']\n", "schedule.1", "@hourly", [{"every": "5m"}, "@hourly"]),
        ("schedule: [{every: 5m}, '@daily']\n", "schedule.1", None, [{"every": "5m"}]),
        (
            "schedule: ['@hourly', '@daily']\n",
            "schedule.1.timezone",
            "UTC",
            ["@hourly", {"cron": "@daily", "timezone": "UTC"}],
        ),
        (
            "schedule: {cron: '@daily', except: [2026-12-24]}\n",
            "schedule.except.holidays",
            "AT",
            {"cron": "@daily", "except": {"dates": ["2026-12-24"], "holidays": "AT"}},
        ),
        ("schedule: '@daily'\n", "schedule.except.holidays", "AT", {"cron": "@daily", "except": {"holidays": "AT"}}),
        ("schedule: {also: ['@daily'], every: 5m}\n", "schedule.also.0.timezone", "UTC",
         {"also": [{"cron": "@daily", "timezone": "UTC"}], "every": "5m"}),
    ],
)  # fmt: skip
def test_a_path_leads_into_lists(before: str, path: str, value: Any, after: Any) -> None:
    assert load(with_values(before, {path: value}))["schedule"] == after


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("run.timeout.soft", "timeout has a value, and no keys"),
        ("schedule.7.cron", "of 2 there is no 7"),
        ("tags.first", "tags has a value"),
        ("tags.9", "of 1 there is no 9"),
    ],
)
def test_a_path_that_leads_nowhere_is_told(path: str, told: str) -> None:
    text = "run: {shell: ls, timeout: 5m}\nschedule: ['@daily', '@hourly']\ntags: [a]\n"
    with pytest.raises(UsageError, match=told):
        with_values(text, {path: "x"})
