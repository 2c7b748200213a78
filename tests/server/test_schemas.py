"""Schemas that were found valid are not examined again; the parameters are."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from jsonschema import Draft202012Validator, SchemaError
from prefect.server.schemas.actions import DeploymentCreate
from prefect.utilities.schema_tools import ValidationError, validate

from ocs.server.schemas import KEPT, remembering, validators

SCHEMA = {"type": "object", "properties": {"count": {"type": "integer"}}}


class Counted:
    """The real check, and how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, schema: dict[str, Any], **options: Any) -> None:
        self.times += 1
        Draft202012Validator.check_schema(schema, **options)


def make_deployment(**parameters: Any) -> DeploymentCreate:
    return DeploymentCreate(
        name="any",
        flow_id=uuid4(),
        parameters=parameters,
        parameter_openapi_schema=SCHEMA,
        enforce_parameter_schema=True,
    )


def test_equal_schemas_are_examined_once() -> None:
    check = Counted()
    remembers = remembering(check)
    for _ in range(3):
        remembers(dict(SCHEMA), format_checker=None)
    assert check.times == 1
    remembers({**SCHEMA, "title": "another"})
    assert check.times == 2


def test_a_schema_that_is_none_is_refused_each_time() -> None:
    remembers = remembering(Counted())
    for _ in range(2):
        with pytest.raises(SchemaError):
            remembers({"type": 3})


def test_what_is_remembered_is_bounded() -> None:
    check = Counted()
    remembers = remembering(check)
    for number in range(KEPT + 1):
        remembers({"title": str(number)})
    remembers({"title": str(KEPT)})
    assert check.times == KEPT + 1
    remembers({"title": "0"})
    assert check.times == KEPT + 2


def test_prefect_still_examines_schemas_where_we_remember_them(monkeypatch: pytest.MonkeyPatch) -> None:
    examined: list[Any] = []
    for validator in validators():
        monkeypatch.setattr(validator, "check_schema", lambda *_, kind=validator, **__: examined.append(kind))
    make_deployment(count=1)
    validate({"count": 1}, SCHEMA, raise_on_error=True)  # as for each run that is made
    assert set(examined) == set(validators())


def test_parameters_are_validated_whether_the_schema_was_seen_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for validator in validators():
        monkeypatch.setattr(validator, "check_schema", remembering(validator.check_schema))
    for _ in range(2):
        make_deployment(count=1)
        with pytest.raises(ValueError, match="'count'"):
            make_deployment(count="many")
        with pytest.raises(ValidationError, match="'count'"):
            validate({"count": "many"}, SCHEMA, raise_on_error=True)
