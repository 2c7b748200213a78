"""The form a person decides with in Prefect's UI: showing it, and reading what was answered."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, ClassVar, Literal, NoReturn
from uuid import UUID

import httpx
import orjson
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.context import AsyncClientContext
from prefect.flow_runs import asuspend_flow_run
from prefect.input import Keyset, RunInput, acreate_flow_run_input, keyset_from_paused_state
from prefect.logging import get_logger
from prefect.states import Suspended
from pydantic import Field, ValidationError

from ocs.errors import Refused
from ocs.rules.approval import LONGEST_NAME, LONGEST_REASON, UI
from ocs.rules.attribution import Attribution
from ocs.store import ApprovalRequested, Store
from ocs.store.approvals import Decided, decide
from ocs.store.tables import Approval
from tasks.adapter.reading import instant

CONFLICT = 409


Choice = Literal["approve", "reject"]


class ApprovalDecision(RunInput):
    """Whether the run may go on. The server refuses what does not fit this form."""

    text: ClassVar[str] = ""
    """What stands above the form."""

    decision: Choice = Field(title="Decision", description="Approve runs it; reject ends it, and nothing is run.")
    by: str = Field(title="Your name", pattern=r"\S", max_length=LONGEST_NAME, description="Kept in the audit trail.")
    reason: str = Field("", title="Reason", max_length=LONGEST_REASON, description="Shown with the run.")

    @classmethod
    async def asave(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> None:
        """Make the form, or what is missing of it: its text first, so that nobody can answer who has not read it."""
        with _unless_it_is_there():
            await acreate_flow_run_input(key=keyset["description"], value=cls.text, flow_run_id=flow_run_id)
        with _unless_it_is_there():
            await super().asave(keyset, flow_run_id)


async def suspend(asks: ApprovalRequested) -> NoReturn:
    """Suspend the flow run this is called in, with a form. Prefect does not time it out: the job's policy does.

    Raises:
        prefect.exceptions.Pause: always; the flow is entered again when somebody has decided.
    """
    await asuspend_flow_run(wait_for_input=_form(asks.form), key=_key(asks.approval_id, asks.number), timeout=None)
    raise RuntimeError(f"the form {_key(asks.approval_id, asks.number)} was answered before it was shown")


async def has_form(client: PrefectClient, flow_run_id: UUID, state: State[Any]) -> bool:
    """Whether a suspended run can be decided in the UI; not when its worker died while it made the form."""
    keyset = state.state_details.run_input_keyset or {}
    key = keyset.get("schema")
    return key is None or bool(await client.filter_flow_run_input(flow_run_id, key, limit=1, exclude_keys=set()))


async def give_form(flow_run_id: UUID, state: State[Any], text: str) -> None:
    """Make the form that its worker did not come to make, or is just making. Several may do so at once.

    A keyset that somebody has forged and that names no form gets none: the run is decided at the command line.
    """
    keyset = state.state_details.run_input_keyset
    if keyset is not None and keyset.keys() >= {"description", "schema"}:
        # Without a client around it, it would make one and leave it open.
        async with AsyncClientContext.get_or_create():
            await _form(text).asave(keyset, flow_run_id=flow_run_id)  # pyright: ignore[reportArgumentType]


def answer_of(approve: bool, by: str, reason: str | None) -> dict[str, Any]:
    """A decision in the words of the form."""
    decision: Choice = "approve" if approve else "reject"
    return ApprovalDecision(decision=decision, by=by, reason=reason or "").model_dump(mode="json")


async def hear(client: PrefectClient, store: Store, request: Approval) -> Decided | None:
    """Record what the form was answered with, as of then; None when it was not, or cannot be used."""
    key = keyset_from_paused_state(Suspended(pause_key=_key(request.id, request.asked)))["response"]
    answers = await client.filter_flow_run_input(request.flow_run_id, key, limit=1, exclude_keys=set())
    if not answers or answers[0].created is None:
        return None
    try:
        answer = ApprovalDecision.model_validate(orjson.loads(answers[0].value))
        return await decide(
            store,
            request.id,
            approve=answer.decision == "approve",
            by=Attribution(answer.by, UI, instant(answers[0].created)),
            reason=answer.reason,
        )
    except (ValidationError, Refused) as unusable:
        get_logger(__name__).warning("The answer for %s cannot be used, it is asked again: %s", request.id, unusable)
        return None


def _form(text: str) -> type[ApprovalDecision]:
    return type(ApprovalDecision.__name__, (ApprovalDecision,), {"text": text})


@contextlib.contextmanager
def _unless_it_is_there() -> Generator[None]:
    try:
        yield
    except httpx.HTTPStatusError as error:
        if error.response.status_code != CONFLICT:
            raise


def _key(approval_id: UUID, number: int) -> str:
    """A pause that has happened cannot happen again under its key, so each time it is asked has one of its own."""
    return f"{approval_id.hex[:12]}-{number}"
