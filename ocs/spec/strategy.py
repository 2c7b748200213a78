"""What a strategy is, and which there are: ours, and those that installed packages bring."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import SerializerFunctionWrapHandler, ValidationError, model_serializer
from pydantic_core import PydanticKnownError

from ocs.errors import Unusable
from ocs.extensions import Extensions
from ocs.spec.values import Part

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to do a job's work: what a document says under `run.<name>`, and who does it.

    `document` is the group of keys there, `about` says in a few words what it is, and `text` what a text alone means,
    where the document takes one. `describe` tells a person who approves a run what will be executed: all of it, and no
    secret. `run` names the coroutine function that does it, as `module:function`: it is imported only where jobs run,
    and is given the document and a `Work` (tasks/strategies/work.py). At `run.timeout` it is cancelled, unless it
    `keeps_time` by itself because it has more to end than itself.
    """

    document: type[Part]
    about: str
    describe: Callable[[Any], str]
    run: str
    text: str | None = None
    keeps_time: bool = False


class Unavailable(Part):
    """What a job asks of a strategy that cannot be used here, and why. As written, so that the job can be read."""

    written: Any
    why: str

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        return handler(self)["written"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What stands in a document under a name that is to be a strategy's. `alone` says that it is the only such name."""

    name: str
    value: Any
    alone: bool


def work_of(asked: Asked) -> Part:
    """The part of the document that tells a strategy what to do.

    Raises:
        PydanticKnownError: there is no such strategy, and another is named beside it: it is a misspelt key.
        ValueError: the document breaks the strategy's rules.
    """
    try:
        strategy = STRATEGIES.get(asked.name)
    except Unusable as unusable:
        if not asked.alone and asked.name not in STRATEGIES.names():
            raise PydanticKnownError("extra_forbidden") from None
        return Unavailable(written=asked.value, why=unusable.message)
    if isinstance(asked.value, Unavailable):
        raise ValueError(asked.value.why)
    try:
        return strategy.document.model_validate(asked.value)
    except (ValidationError, RecursionError):
        raise
    except Exception as defect:  # of the strategy's, which stops no other job from being read
        raise ValueError(f"could not be checked by its strategy ({type(defect).__name__})") from defect


def _check(name: str, strategy: Strategy) -> None:
    from ocs.spec.run import Run

    if not _NAME.fullmatch(name) or name in Run.model_fields:
        raise ValueError("the name is not one of small letters, digits, _ and -, or means something else under run")
    document = cast("type[object]", strategy.document)
    if not issubclass(document, Part):
        raise TypeError("its document is no ocs.spec.values.Part")
    # One that has no schema would leave every job without one.
    strategy.document.model_json_schema()


STRATEGIES = Extensions(
    "openclaw.strategies",
    "strategy",
    Strategy,
    {name: f"ocs.spec.strategies:{name.upper()}" for name in ("shell", "agent", "main", "watchdog")},
    _check,
)
