"""A project's defaults: what every job says unless its own file says otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from ocs.errors import Problem
from ocs.spec.problems import violations

GROUPS = ("deliver", "retry", "limits")
"""Merged key by key: a job that names one key keeps the defaults of the others."""
PLACES = {"timezone": "schedule.timezone", "cwd": "run.shell.cwd"}
"""Where in a job the others stand."""
KEYS = (*PLACES, *GROUPS)


def with_defaults(document: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what it leaves open taken from the defaults. What it says itself stays, null too."""
    merged = dict(document)
    for key in GROUPS:
        own = document.get(key, {})
        if isinstance(defaults.get(key), Mapping) and isinstance(own, Mapping):
            merged[key] = {**defaults[key], **cast("Mapping[str, Any]", own)}
    if (zone := defaults.get("timezone")) is not None and "schedule" in document:
        merged["schedule"] = _in_zone(document["schedule"], zone)
    if (folder := defaults.get("cwd")) is not None and "run" in document:
        merged["run"] = _in_folder(document["run"], folder)
    return merged


def contradictions(written: Mapping[str, Any]) -> Iterator[Problem]:
    """What a job itself says that cancels out; what it takes from the defaults and refuses does not."""
    deliver: Any = written.get("deliver")
    if isinstance(deliver, Mapping):
        own = cast("Mapping[str, Any]", deliver)
        if own.get("when") == "never" and own.get("on_failure"):
            told = "tells nobody while deliver.when is never; say when: failure, or take it away"
            yield Problem("deliver.on_failure", told)


def defaults_problems(defaults: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the defaults, found out with a job that says nothing else."""
    for key in defaults:
        if key not in KEYS:
            yield Problem(str(key), f"unknown key. Known: {', '.join(KEYS)}.")
        elif key in GROUPS and not isinstance(defaults[key], Mapping):
            yield Problem(key, "must be a group of keys")
    back = {there: here for here, there in PLACES.items()}
    for problem in violations(with_defaults({"id": "any-job", "run": "true", "schedule": "@daily"}, defaults)):
        yield Problem(back.get(problem.path, problem.path), problem.message)


def _in_zone(schedule: Any, zone: Any) -> Any:
    """A schedule, or each of several, with the zone it is meant in; an interval is meant in none."""
    if isinstance(schedule, list):
        return [_in_zone(each, zone) for each in cast("list[Any]", schedule)]
    if isinstance(schedule, str):
        return {"cron": schedule, "timezone": zone}
    if isinstance(schedule, Mapping) and not {"timezone", "every"} & cast("Mapping[str, Any]", schedule).keys():
        return {**cast("Mapping[str, Any]", schedule), "timezone": zone}
    return cast("Any", schedule)


def _in_folder(run: Any, folder: Any) -> Any:
    if isinstance(run, str):
        return {"shell": {"command": run, "cwd": folder}}
    if not isinstance(run, Mapping):
        return run
    merged = dict(cast("Mapping[str, Any]", run))
    if "shell" in merged:
        merged["shell"] = _shell_in_folder(merged["shell"], folder)
    watchdog = merged.get("watchdog")
    if isinstance(watchdog, Mapping) and "check" in watchdog:
        checked = cast("Mapping[str, Any]", watchdog)
        merged["watchdog"] = {**checked, "check": _shell_in_folder(checked["check"], folder)}
    return merged


def _shell_in_folder(shell: Any, folder: Any) -> Any:
    if isinstance(shell, str):
        return {"command": shell, "cwd": folder}
    return {"cwd": folder, **cast("Mapping[str, Any]", shell)} if isinstance(shell, Mapping) else shell
