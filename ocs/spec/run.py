"""What a job does: one strategy's document, such as a shell command or an agent's turn, and how long it may take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    StringConstraints,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ocs.spec.schedule import Moment, moment_in
from ocs.spec.strategy import STRATEGIES, Asked, work_of
from ocs.spec.target import MaybeTarget
from ocs.spec.values import (
    PRINTABLE,
    AtLeast,
    Count,
    CountOrNone,
    EnvironmentName,
    Maybe64,
    Maybe256,
    Maybe4096,
    Part,
    PositiveDuration,
    Text128,
    Text256,
    Text512,
    Text4096,
    broken,
)
from ocs.spec.written import no_control_characters, quoted

LONGEST_COMMAND = 100_000
LONGEST_CHECK = 4096
RESERVED_SESSIONS = ("subagent:", "cron:", "acp:")
"""Session keys that the gateway keeps for itself."""
BlockName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=256)]
ExitCode = Annotated[int, Field(strict=True, ge=0, le=255)]
Command = Annotated[str, StringConstraints(max_length=LONGEST_COMMAND), PRINTABLE]

MOST_FALLBACKS = 10


def _auth_profile(profile: str | None) -> str | None:
    provider, colon, label = (profile or "").partition(":")
    if profile not in (None, "inherit") and not (provider and colon and label):
        raise ValueError(f"{quoted(profile)} is not a profile; write inherit, or provider:label")
    return profile


def _in_order(codes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(codes)))


def _with_offset(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("has no offset; write it like 2027-02-01T16:00:00Z")
    return moment_in("UTC", moment)


class Shell(Part):
    """A command for a shell, in a clean environment and a session of its own, of which nothing outlives the run."""

    command: Command
    """Passed to the interpreter as it stands."""
    cwd: Maybe4096 = Field(None, examples=["~/work"])
    """The folder it starts in, as seen from the project's, which is the default; on a host without it, the home."""
    env: dict[EnvironmentName, Annotated[str, AfterValidator(no_control_characters)]] = Field(default_factory=dict)
    """Plain values beside PATH, HOME, USER, LOGNAME, LANG, TZ, SHELL, TMPDIR, OCS_RUN_ID and the worker's OCS_HOME."""
    secrets: dict[EnvironmentName, BlockName] = Field(default_factory=dict)
    """Environment name to Prefect Secret block; never stored, logged or shown."""
    inherit_env: bool = False
    """Give it the worker's own environment too (never the worker's credentials)."""
    interpreter: Text4096 = "/bin/bash"
    """The program that is given `-c` and the command."""
    success_codes: Annotated[
        tuple[ExitCode, ...], Field(min_length=1, examples=[[0, 24]]), AfterValidator(_in_order)
    ] = (0,)
    """The exit codes with which it did well; any other is a failure."""

    @model_validator(mode="before")
    @classmethod
    def _command_as_text(cls, value: Any) -> Any:
        return {"command": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_name_twice(self) -> Shell:
        if both := sorted(self.env.keys() & self.secrets.keys()):
            told = "stands in env too; keep one of them"
            raise broken({f"secrets.{name}": told for name in both})
        return self


class Retrieval(Part):
    """What of earlier runs an agent is shown."""

    from_: Literal["none", "recent", "hybrid"] = Field("none", alias="from")
    """Nothing, the newest runs, or the best matching ones."""
    limit: Count = 5
    """How many runs."""


class Agent(Part):
    """A turn of an agent over the OpenClaw gateway."""

    message: Command
    """What the agent is asked to do."""
    agent: Text128 = "main"
    """The agent's id."""
    model: Maybe256 = None
    """provider/model, instead of the agent's own."""
    fallback_models: Annotated[tuple[Text256, ...], Field(max_length=MOST_FALLBACKS)] = ()
    """Further models, in this order: a retry asks the next one when the attempt before failed by its model."""
    thinking: Maybe64 = None
    """How hard it should think."""
    session: Text512 = "fresh"
    """fresh, task (all attempts in one conversation), job (one per job), main, or a key of your own."""
    auth_profile: Annotated[Maybe256, AfterValidator(_auth_profile)] = None
    """Which of the gateway's credentials it uses: provider:label, or inherit, which is that of the main session."""
    # The gateway asks an overloaded model ten times, which takes it up to 158 seconds, and says nothing meanwhile.
    idle_timeout: PositiveDuration = timedelta(minutes=3)
    """No sign of life for this long ends the turn."""
    scope: Literal["own", "global"] = "own"
    """Its own sessions, or all."""
    context: Retrieval = Field(default_factory=lambda: Retrieval.model_validate({}))
    """Which earlier runs it is shown."""
    intent: Literal["execute", "plan"] = "execute"
    """Do it, or only plan it."""
    read_only: bool = False
    """Tell it to change nothing."""
    job_class: Literal["standard", "pre_compaction_flush"] = "standard"
    """A flush asks for a summary before the session is compacted."""
    check: Maybe4096 = None
    """A command that has to succeed after the turn, within a minute; otherwise the run fails with its output."""
    report: Literal["optional", "required"] = "optional"
    """Whether a task has to have been reported done (ocs dispatch done) when its turn is over."""

    @model_validator(mode="before")
    @classmethod
    def _message_as_text(cls, value: Any) -> Any:
        return {"message": value} if isinstance(value, str) else value


class Main(Part):
    """A turn of the gateway's main session."""

    message: Command
    """What the main session is told."""
    mode: Literal["turn", "event"] = "turn"
    """Wait for the reply, or fire and forget."""

    @model_validator(mode="before")
    @classmethod
    def _message_as_text(cls, value: Any) -> Any:
        return {"message": value} if isinstance(value, str) else value


class Watchdog(Part):
    """A check that watches something else until it is done, and raises an alarm when it is not in time."""

    label: Text256
    """What is watched."""
    check: Shell
    """The check, in the same forms as a shell job."""
    timeout: Annotated[PositiveDuration, AfterValidator(AtLeast("1m"))] | None = None
    """Raise the alarm when it is not done this long after `started_at`."""
    started_at: Annotated[Moment, AfterValidator(_with_offset)] | None = None
    """When what is watched began."""
    alert: MaybeTarget = None
    """Where the alarm goes."""
    self_destruct: bool = True
    """Remove the job when what is watched is done."""

    @field_validator("check")
    @classmethod
    def _short_check(cls, check: Shell) -> Shell:
        if len(check.command) > LONGEST_CHECK:
            raise ValueError(f"is longer than {LONGEST_CHECK} characters; put it in a script")
        if check.success_codes != (0,):
            raise broken({"success_codes": "is for shell jobs; what the codes of a check mean is fixed"})
        return check


class Run(Part):
    """Exactly one of shell, agent, main, watchdog or what a package brings, and how long it may take."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, PlainValidator(work_of)]] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    timeout: PositiveDuration = timedelta(minutes=5)
    """Wall clock; at its end the run is ended."""
    guarantee: Literal["at-most-once", "at-least-once"] = "at-most-once"
    """Whether a run is repeated when its worker died."""
    max_replays: CountOrNone = 3
    """How often an at-least-once run is repeated after crashes."""

    @model_validator(mode="before")
    @classmethod
    def _strategies_told_apart(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"shell": {"command": value}}
        if not isinstance(value, Mapping):
            return value
        written = cast("Mapping[Any, Any]", value)
        # A form sends nothing for each strategy that was not chosen.
        named = {key for key, given in written.items() if _names_a_strategy(key, given)}
        return {
            key: Asked(key, given, alone=len(named) == 1) if key in named else given
            for key, given in written.items()
            if key in named or given is not None or not _is_strategy(key)
        }

    @model_validator(mode="after")
    def _exactly_one(self) -> Run:
        given = list(self.__pydantic_extra__)
        if len(given) != 1:
            found = "; keep one of " + " and ".join(given) if given else "; it has none of them"
            *others, last = STRATEGIES.names()
            raise ValueError(f"needs exactly one of {', '.join(others)} and {last}{found}")
        return self

    @property
    def strategy(self) -> str:
        """By what its work is done."""
        return next(iter(self.__pydantic_extra__))

    @property
    def work(self) -> Part:
        """What that strategy is told."""
        return self.__pydantic_extra__[self.strategy]

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """With a key for each strategy that can be used here."""
        reference = super().__get_pydantic_json_schema__(core_schema, handler)
        schema = handler.resolve_ref_schema(reference)
        fields: dict[str, Any] = {
            name: (strategy.document | None, Field(None, description=strategy.about))
            for name, strategy in STRATEGIES.usable().items()
        }
        strategies = handler(create_model("Strategies", **fields).__pydantic_core_schema__)
        schema["properties"] = {**strategies["properties"], **schema["properties"]}
        schema["additionalProperties"] = False
        return reference


def _is_strategy(key: object) -> bool:
    return isinstance(key, str) and key not in Run.model_fields and key in STRATEGIES.names()


def _names_a_strategy(key: object, given: object) -> bool:
    return isinstance(key, str) and key not in Run.model_fields and not (given is None and _is_strategy(key))
