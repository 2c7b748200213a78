"""A job's document is JSON, small, and reads back to the same job; and the schemas take what the job takes."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate

from ocs.spec import Job, job_schema, parse
from ocs.spec.braces import guard
from tests.unit.spec.documents import DOCUMENTS, SMALLEST

SCHEMA = job_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SLOW_TO_DRAW = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)


async def run_job(job: Job) -> None: ...


PARAMETERS = parameter_schema(run_job).model_dump_for_openapi()


@SLOW_TO_DRAW
@given(DOCUMENTS)
def test_a_document_reads_back_to_the_same_job(written: dict[str, Any]) -> None:
    job = parse(written)
    document = job.document()
    assert json.loads(json.dumps(document)) == document
    assert parse(document) == job
    assert parse(document).document() == document
    assert Job.model_validate_json(json.dumps(guard(document))) == job


@SLOW_TO_DRAW
@given(DOCUMENTS)
def test_the_schema_takes_what_is_written_and_what_is_stored(written: dict[str, Any]) -> None:
    for document in (written, parse(written).document()):
        assert [error.message for error in VALIDATOR.iter_errors(document)] == []


@SLOW_TO_DRAW
@given(DOCUMENTS)
def test_prefect_takes_every_job_as_the_parameter_of_the_flow(written: dict[str, Any]) -> None:
    assert validate({"job": parse(written).document()}, PARAMETERS) == []


def test_what_prefect_fills_into_its_form_is_valid() -> None:
    """The UI sends every default it shows."""
    groups = PARAMETERS["definitions"]
    filled = {
        key: _defaults(groups, schema)
        for key, schema in groups["Job"]["properties"].items()
        if key in ("limits", "retry", "approval", "output", "lifecycle")
    }
    assert all(filled.values())
    timeout = groups["Run"]["properties"]["timeout"]["default"]
    document = {"id": "a", "run": {"shell": {"command": "true"}, "timeout": timeout}, **filled}
    assert validate({"job": document}, PARAMETERS) == []
    assert parse(document) == parse({"id": "a", "run": "true"})


def _defaults(groups: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    [reference] = [option["$ref"] for option in schema.get("allOf", [schema])]
    properties = groups[reference.rpartition("/")[2]]["properties"]
    return {key: inner["default"] for key, inner in properties.items()}


def test_the_smallest_document_stays_small() -> None:
    assert parse(SMALLEST).document() == {"id": "disk-space", "run": {"shell": {"command": "df -h /"}}}


def test_spelled_out_defaults_leave_no_trace() -> None:
    written = {
        **SMALLEST,
        "enabled": True,
        "retry": {"max": 0, "on": ["timeout", "error"], "jitter": "10%"},
        "output": {"store": "64KiB"},
        "limits": {},
    }
    assert parse(written) == parse(SMALLEST)
    assert parse(written).document() == parse(SMALLEST).document()


def test_the_schema_is_one_and_every_field_is_described() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    groups = {"Job": SCHEMA, **SCHEMA["$defs"]}
    undescribed = [
        f"{name}.{key}"
        for name, group in groups.items()
        for key, schema in group.get("properties", {}).items()
        if not schema.get("description")
    ]
    assert undescribed == []


def test_the_schema_refuses_unknown_keys_and_values() -> None:
    for wrong in ({"retires": 1}, {"limits": {"overlap": "skp"}}, {"retry": {"delay": "15x"}}, {"id": "No Slug"}):
        assert list(VALIDATOR.iter_errors({**SMALLEST, **wrong})), wrong
