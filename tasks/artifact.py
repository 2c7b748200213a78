"""The outcome as a markdown artifact, so that the run's page answers "what happened" without a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from uuid import UUID

import httpx
from prefect.artifacts import MarkdownArtifact
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_logger

from ocs.rules.costs import Tokens, tokens_of, told, total_of
from ocs.rules.dispatch import DispatchContext, DispatchResult, StreamOutput
from ocs.rules.markdown import code, code_block, sentence
from ocs.rules.plain_text import without_blank_ends
from ocs.rules.wording import SHORT
from ocs.spec import Job
from ocs.store import Outcome
from ocs.store.queries import Forebear
from ocs.store.tables_delivery import Delivery, DeliveryStatus
from tasks.adapter.naming import page_of

NOTHING: Mapping[UUID, Forebear] = MappingProxyType({})
EXCERPT_LINES = 40
FENCE = 4
"""So many marks at least enclose an output."""


async def show(
    client: PrefectClient,
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    outcome: Outcome,
    sent: Mapping[UUID, FlowRun],
    told: Sequence[Delivery] = (),
    came_from: Mapping[UUID, Forebear] = NOTHING,
) -> None:
    """Attach the outcome to the flow run; its key is the job's id, so the job's artifact page shows the latest.

    A server that does not take it costs the run nothing: the outcome is in the store.
    """
    shown = MarkdownArtifact(
        key=job.id,
        description=sentence(f"{outcome.status}: {outcome.why}"),
        markdown=markdown_of(job, context, result, outcome, sent, told, came_from),
        flow_run_id=context.flow_run_id,
    )
    try:
        await shown.acreate(client)
    except httpx.HTTPError as refused:
        get_logger(__name__).warning("The outcome of %s could not be shown as an artifact: %r", job.id, refused)


def markdown_of(
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    outcome: Outcome,
    sent: Mapping[UUID, FlowRun],
    told: Sequence[Delivery] = (),
    came_from: Mapping[UUID, Forebear] = NOTHING,
) -> str:
    """What the artifact says. Nothing that a job or an agent has said is markup in it."""
    sections = [
        _headline(job, context, result, outcome, came_from),
        _output("Output", result.stdout),
        _output("Errors", result.stderr),
        _what_follows(outcome, sent),
        _who_was_told(told),
    ]
    return "\n\n".join(section for section in sections if section)


def _headline(
    job: Job,
    context: DispatchContext,
    result: DispatchResult,
    outcome: Outcome,
    came_from: Mapping[UUID, Forebear],
) -> str:
    dispatch = context.dispatch
    facts = {
        "Status": f"**{outcome.status}**",
        "Exit code": None if result.exit_code is None else str(result.exit_code),
        "Signal": result.signal,
        "Started in": _in_a_cell(result.folder) if result.folder else None,
        "Conversation": _in_a_cell(result.session_key) if result.session_key else None,
        "Found": result.finding,
        "Used": _used(result),
        "Cost": told(total_of(result.used)) if result.used else None,
        "Why it ran": f"{dispatch.kind}, attempt {dispatch.attempt}",
        "Run": f"`{context.run_id}`",
        "Caused by": _run_link(dispatch.source_run, came_from),
        "Attempt before": _run_link(dispatch.retry_of, came_from),
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items() if value)
    return f"## {sentence(job.name or job.id)}\n\n{sentence(outcome.why)}\n\n| | |\n|---|---|\n{rows}"


def _used(result: DispatchResult) -> str | None:
    tokens = tokens_of(result.used)
    if tokens == Tokens():
        return None
    models = ", ".join(_in_a_cell(use.model) for use in result.used if use.model)
    return f"{tokens.read:,} tokens read, {tokens.output:,} written{f' by {models}' if models else ''}"


def _run_link(run_id: UUID | None, came_from: Mapping[UUID, Forebear]) -> str | None:
    """A run of ours, with its page where it is known."""
    if run_id is None:
        return None
    known = came_from.get(run_id)
    page = page_of(known.flow_run_id) if known else None
    named = f"{known.job_id}, run {str(run_id)[:SHORT]}" if known else f"run {run_id}"
    return f"[{named}]({page})" if page else f"`{named}`"


def _in_a_cell(text: str) -> str:
    """As code, in which a table still takes a bar for the end of the cell."""
    return code(text).replace("|", "\\|")


def _output(title: str, stream: StreamOutput) -> str:
    text = without_blank_ends(stream.text)
    if not text:
        return ""
    lines = text.split("\n")
    kept = lines[-EXCERPT_LINES:]
    cut = f" (the last {len(kept)} of {len(lines)} lines)" if len(kept) < len(lines) else ""
    whole = f"\n\nWhole output, {stream.extent}: {code(stream.path)}" if stream.path else ""
    shown = code_block("\n".join(kept), "text", "~", FENCE)
    return f"### {title}{cut}\n\n{shown}{whole}"


def _what_follows(outcome: Outcome, sent: Mapping[UUID, FlowRun]) -> str:
    if not outcome.consequences:
        return ""
    lines: list[str] = []
    for dispatch in outcome.consequences:
        flow_run = sent.get(dispatch.id)
        name = f"{dispatch.job_id} ({dispatch.kind})"
        page = page_of(flow_run.id) if flow_run else None
        linked = f"[{name}]({page})" if page else name
        lines.append(f"- {linked} at {dispatch.scheduled_for.astimezone():%Y-%m-%d %H:%M:%S %z}")
    return "### What follows\n\n" + "\n".join(lines)


def _who_was_told(told: Sequence[Delivery]) -> str:
    lines = [f"- {sentence(each.target)}: {sentence(_stands(each))}" for each in told]
    return "### Deliveries\n\n" + "\n".join(lines) if lines else ""


def _stands(delivery: Delivery) -> str:
    match delivery.status:
        case DeliveryStatus.SENT:
            return f"sent at {delivery.ended_at.astimezone():%Y-%m-%d %H:%M:%S %z}" if delivery.ended_at else "sent"
        case DeliveryStatus.PENDING if delivery.last_error:
            return (
                f"not sent yet, tried again at {delivery.next_attempt_at.astimezone():%H:%M:%S}. {delivery.last_error}"
            )
        case DeliveryStatus.PENDING:
            return "being sent"
        case _:
            return f"given up. {delivery.last_error or ''}"
