"""Rules across jobs: parents exist, no cycles, at most ten levels; and what is not built yet."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ocs.spec import Job, check_catalogue, parse, unsupported
from tests.unit.spec.documents import SMALLEST


def chain(*links: tuple[str, str | None]) -> dict[str, Job]:
    """Jobs by id, each with its parent."""
    documents = [{"id": job, "run": "true", "after": {"job": parent} if parent else None} for job, parent in links]
    return {document["id"]: parse(document) for document in documents if isinstance(document["id"], str)}


def told(jobs: dict[str, Job]) -> list[tuple[str, str, str]]:
    return [(job, problem.path, problem.message) for job, problem in check_catalogue(jobs)]


def test_a_family_is_fine() -> None:
    assert told(chain(("a", None), ("b", "a"), ("c", "a"), ("d", "b"))) == []


def test_a_missing_parent_is_named_with_the_nearest() -> None:
    [(job, path, message)] = told(chain(("collect", None), ("report", "colect")))
    assert (job, path) == ("report", "after.job")
    assert '"colect"' in message
    assert "Nearest: collect." in message


def test_every_job_in_a_circle_is_told_and_nobody_else() -> None:
    found = told(chain(("a", "c"), ("b", "a"), ("c", "b"), ("outside", "a")))
    assert [job for job, _, _ in found] == ["a", "b", "c"]
    assert "a after c after b after a" in found[0][2]


@pytest.mark.parametrize(("levels", "refused"), [(10, []), (11, ["job-10"]), (12, ["job-10", "job-11"])])
def test_a_chain_has_at_most_ten_levels(levels: int, refused: list[str]) -> None:
    jobs = chain(("job-0", None), *((f"job-{level}", f"job-{level - 1}") for level in range(1, levels)))
    assert [job for job, _, _ in told(jobs)] == refused


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"identity": {}}, "identity"),
        ({"authorization": {}}, "authorization"),
        ({"evidence": {}}, "evidence"),
        ({"contract": {}}, "contract"),
        ({"contract": {"sandbox": "strict"}}, "contract.sandbox"),
        ({"child_credentials": "inherit"}, "child_credentials"),
    ],
)
def test_what_is_not_built_is_named(changes: dict[str, Any], path: str) -> None:
    [problem] = unsupported(parse({**SMALLEST, **changes}))
    assert problem.path == path
    assert "not supported yet" in problem.message


DELIVERED = {"deliver": {"when": "never", "opt_out_reason": "a test"}}


@pytest.mark.parametrize(
    ("agent", "path"),
    [
        ({"session": "cron:nightly"}, "run.agent.session"),
        ({"session": "subagent:x"}, "run.agent.session"),
        ({"auth_profile": "a:work"}, "run.agent.auth_profile"),
        ({"auth_profile": "a:work", "model": "m"}, "run.agent.auth_profile"),
        ({"auth_profile": "a:work", "model": "b/m"}, "run.agent.auth_profile"),
        ({"auth_profile": "a:work", "model": "a/m", "session": "job"}, "run.agent.auth_profile"),
        ({"auth_profile": "a:work", "model": "a/m", "session": "main"}, "run.agent.auth_profile"),
        ({"auth_profile": "a:work", "model": "a/m"}, None),
        ({"auth_profile": "inherit"}, "run.agent.auth_profile"),
        ({"auth_profile": "inherit", "model": "a/m"}, None),
        ({"auth_profile": "inherit", "session": "main"}, None),
        ({"fallback_models": ["a/m@a:work"]}, "run.agent.fallback_models.0"),
        ({"fallback_models": ["a/n", "b/m"], "auth_profile": "a:work", "model": "a/m"}, "run.agent.fallback_models.1"),
        ({"fallback_models": ["a/n", "b/m"], "auth_profile": "inherit", "model": "a/m"}, None),
        ({"model": "a/m@a:work"}, "run.agent.model"),
        ({"model": "a/m@20250101"}, None),
        ({"session": "agent:main:mine"}, None),
    ],
)
def test_what_the_gateway_cannot_do_is_named(agent: dict[str, Any], path: str | None) -> None:
    job = parse({"id": "x", "run": {"agent": {"message": "x", **agent}}, "retry": {"max": 1}, **DELIVERED})
    assert [problem.path for problem in unsupported(job)] == ([path] if path else [])


def test_what_is_built_passes() -> None:
    job = parse(
        {
            **SMALLEST,
            "schedule": {"cron": "@daily", "jitter": "30s", "misfire": "all", "grace": "1d", "run_now": True},
            "on_event": [{"expect": "a"}],
            "limits": {"overlap": "allow", "max_fanout": 2},
            "retry": {"max": 2},
            "deliver": {"when": "always", "to": "@ops"},
            "backoff": False,
        }
    )
    assert unsupported(job) == []


def test_reading_the_rules_loads_nothing_slow() -> None:
    slow = {"prefect", "sqlalchemy", "croniter", "jsonpath", "regex", "httpx"}
    code = f"import sys, ocs.spec; print(*sorted({slow!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(("session", "problems"), [("fresh", 0), ("task", 0), ("main", 1), ("job", 1), ("mine", 1)])
def test_a_cap_is_for_turns_whose_costs_can_be_seen(session: str, problems: int) -> None:
    """In a conversation that others speak in nobody sees what is the run's."""
    run = {"agent": {"message": "Go.", "session": session}}
    deliver = {"when": "never", "opt_out_reason": "test"}
    job = parse({"id": "brief", "run": run, "deliver": deliver, "contract": {"max_cost_usd": 0.5}})
    assert [problem.path for problem in unsupported(job)] == ["contract.max_cost_usd"] * problems


def test_a_cap_is_for_agents() -> None:
    [problem] = unsupported(parse({**SMALLEST, "contract": {"max_cost_usd": 1}}))
    assert (problem.path, "is for run.agent" in problem.message) == ("contract.max_cost_usd", True)
