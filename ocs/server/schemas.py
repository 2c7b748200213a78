"""Schemas that were found valid are not examined again: a private name of Prefect's server that we touch.

As shipped, Prefect examines the schema of a deployment's parameters against the schema of all schemas, seven times when
it is sent and once for each run that is made. All our jobs have the same one, which is large: 0.08 s each time, in
which the server does nothing else. Parameters are validated against their schema as ever.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Any

from jsonschema.validators import Draft202012Validator
from prefect.utilities.schema_tools import validation

KEPT = 1000
Check = Callable[..., None]


def examine_schemas_once() -> None:
    """Have both validators that Prefect uses remember the schemas that were valid."""
    for validator in validators():
        validator.check_schema = remembering(validator.check_schema)


def validators() -> list[Any]:
    """Where Prefect has schemas examined: when a deployment is made or changed, and when parameters are validated."""
    return [Draft202012Validator, validation._VALIDATOR]  # pyright: ignore[reportPrivateUsage]


def remembering(check: Check) -> Check:
    """The same check, done once for equal schemas; one that fails is told each time."""
    valid: dict[bytes, None] = {}

    @functools.wraps(check)
    def check_schema(schema: Any, *options: Any, **more: Any) -> None:
        digest = hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).digest()
        if digest not in valid:
            check(schema, *options, **more)
            valid[digest] = None
            if len(valid) > KEPT:
                del valid[next(iter(valid))]

    return check_schema
