"""The JSON Schema of a job document, for editors and other programs."""

from __future__ import annotations

from typing import Any, cast

from ocs.spec.job import Job
from ocs.spec.strategy import STRATEGIES
from ocs.spec.values import ALSO

SHORT_FORMS = {
    ("Job", "schedule"): "A cron expression.",
    ("Job", "run"): "A shell command.",
    ("Watchdog", "check"): "A shell command.",
    ("After", "match"): "A text that the output contains.",
}
YES_OR_NO = {("Job", "approval"): "Whether it needs one."}


def job_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the document as people write it, short forms and plain numbers included.

    The schema that Prefect makes of the flow's parameter lacks them: its forms offer one way for each value.
    """
    schema = Job.model_json_schema(by_alias=True)
    groups = {"Job": schema, **schema["$defs"]}
    texts = {("Run", name): strategy.text for name, strategy in STRATEGIES.usable().items() if strategy.text}
    for forms, kind in (({**SHORT_FORMS, **texts}, "string"), (YES_OR_NO, "boolean")):
        for (group, key), meaning in forms.items():
            properties = groups[group]["properties"]
            properties[key] = _either({"type": kind, "description": meaning}, properties[key])
    dates = groups["LeftOut"]["properties"]["dates"]
    without = {name: value for name, value in dates.items() if name not in ("default", "title", "examples")}
    properties = groups["Schedule"]["properties"]
    properties["except"] = _either(without, properties["except"])
    times = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Schedule"}]}
    several = {"type": "array", "minItems": 1, "items": times, "description": "A schedule, and further times."}
    schema["properties"]["schedule"] = _either(several, schema["properties"]["schedule"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A job of prefect-openclaw",
        **{key: value for key, value in _with_other_forms(schema).items() if key != "title"},
    }


def _either(other: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """The schema `whole` or another one, with the notes of `whole` on both."""
    notes = {name: whole[name] for name in ("title", "description", "default", "examples") if name in whole}
    bare = {name: value for name, value in whole.items() if name not in notes}
    return {**notes, "anyOf": [*bare.get("anyOf", [bare]), other]}


def _with_other_forms(node: Any) -> Any:
    """Every value that has a second form may be written in it."""
    if isinstance(node, list):
        return [_with_other_forms(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    schema = {key: _with_other_forms(value) for key, value in cast("dict[str, Any]", node).items()}
    other = schema.pop(ALSO, None)
    return schema if other is None else _either(other, schema)
