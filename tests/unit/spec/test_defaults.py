"""A project's defaults: what they add to a job, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from ocs.spec import defaults_problems, parse, with_defaults

JOB: dict[str, Any] = {"id": "a", "run": "true"}


@pytest.mark.parametrize(
    ("written", "defaults", "adds"),
    [
        ({}, {}, {}),
        ({}, {"deliver": {"to": "ops"}}, {"deliver": {"to": "ops"}}),
        ({"deliver": {"when": "always"}}, {"deliver": {"to": "ops"}}, {"deliver": {"to": "ops", "when": "always"}}),
        ({"deliver": {"to": "ann"}}, {"deliver": {"to": "ops"}}, {"deliver": {"to": "ann"}}),
        ({"deliver": None}, {"deliver": {"to": "ops"}}, {"deliver": None}),
        ({"retry": {"max": 1}}, {"retry": {"max": 3, "delay": "5s"}}, {"retry": {"max": 1, "delay": "5s"}}),
        ({}, {"limits": {"pool": "db"}}, {"limits": {"pool": "db"}}),
        ({}, {"timezone": "Asia/Tokyo"}, {}),
        (
            {"schedule": "@daily"},
            {"timezone": "Asia/Tokyo"},
            {"schedule": {"cron": "@daily", "timezone": "Asia/Tokyo"}},
        ),
        ({"schedule": {"every": "5m"}}, {"timezone": "Asia/Tokyo"}, {"schedule": {"every": "5m"}}),
        (
            {"schedule": {"cron": "@daily", "timezone": "UTC"}},
            {"timezone": "Asia/Tokyo"},
            {"schedule": {"cron": "@daily", "timezone": "UTC"}},
        ),
        ({}, {"cwd": "/srv"}, {"run": {"shell": {"command": "true", "cwd": "/srv"}}}),
        ({"run": {"shell": "true"}}, {"cwd": "/srv"}, {"run": {"shell": {"command": "true", "cwd": "/srv"}}}),
        (
            {"run": {"shell": {"command": "true", "cwd": "/tmp"}}},
            {"cwd": "/srv"},
            {"run": {"shell": {"command": "true", "cwd": "/tmp"}}},
        ),
        (
            {"run": {"watchdog": {"label": "b", "check": "./done"}}},
            {"cwd": "/srv"},
            {"run": {"watchdog": {"label": "b", "check": {"command": "./done", "cwd": "/srv"}}}},
        ),
        ({"run": {"main": "hello"}}, {"cwd": "/srv"}, {"run": {"main": "hello"}}),
    ],
)
def test_what_a_job_leaves_open_is_taken_from_the_defaults(
    written: dict[str, Any], defaults: dict[str, Any], adds: dict[str, Any]
) -> None:
    merged = with_defaults({**JOB, **written}, defaults)
    assert merged == {**JOB, **written, **adds}
    parse(merged)


@pytest.mark.parametrize(
    ("defaults", "path", "told"),
    [
        ({"timezone": "Vienna"}, "timezone", "Nearest"),
        ({"cwd": 1}, "cwd", "text"),
        ({"deliver": {"when": "always"}}, "deliver.to", "name whom to tell"),
        ({"deliver": "ops"}, "deliver", "group of keys"),
        ({"retry": {"mx": 1}}, "retry.mx", "Nearest: max"),
        ({"run": "true"}, "run", "Known: timezone, cwd, deliver, retry, limits"),
    ],
)
def test_what_is_wrong_with_defaults_is_told(defaults: dict[str, Any], path: str, told: str) -> None:
    problems = list(defaults_problems(defaults))
    assert [problem.path for problem in problems] == [path]
    assert told in problems[0].message


def test_good_defaults_are_good() -> None:
    good = {"timezone": "Europe/Vienna", "cwd": "~", "deliver": {"to": "ops"}, "retry": {"max": 2}, "limits": {}}
    assert list(defaults_problems(good)) == []
