"""The agent strategy: one turn over the gateway, heard while it goes on. The main strategy takes one too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from blocks.gateway import ChatTurn, GatewayError, OpenClawGateway
from blocks.gateway_sessions import reopen
from ocs.rules import auth_profile, reply
from ocs.rules.dispatch import DispatchResult, IdempotencyAction, RunStatus
from ocs.rules.masking import Masking
from ocs.rules.plain_text import without_blank_ends
from ocs.rules.session_key import is_of_one_run
from ocs.rules.shell_result import cut
from ocs.spec import Output, format_duration
from ocs.timing import timing
from tasks.strategies.capture import Capture
from tasks.strategies.conversation import Conversation, Ear, Silent, Tools, Watch

ENDED = "; the turn was ended."


async def run_turn(  # noqa: PLR0913  all but two are named
    gateway: OpenClawGateway,
    turn: ChatTurn,
    *,
    idle: timedelta,
    timeout: timedelta,
    output: Output,
    artifacts: Path,
    on_line: Callable[[str], None],
    watch: Watch | None = None,
    ear: Ear | None = None,
    tools: Tools | None = None,
    goes_on: bool = False,
) -> DispatchResult:
    """Have the turn done, and say how it went. `on_line` gets what is to be known of it, and each line of the reply.

    Silence for `idle` ends the turn, and so does `timeout` however lively it is. A turn that is ended, or fails, is
    ended in the gateway with the sub-agents that it has spawned; so is one whose task is cancelled. A gateway that is
    away or about to restart is no failure of the job: nothing was done, so the run is snoozed, and nobody hears of it.
    With `goes_on` the turn goes on with an earlier one, in its session. `watch` gets what comes into the session
    meanwhile, if it is the run's own. What `ear` hears is told in further turns of the same conversation; `tools` are
    offered to the agent.
    """
    result = _begun(turn.session_key)
    if not await gateway.wait_until_up(timing().gateway_wait):
        why = f"The OpenClaw gateway at {gateway.url} does not answer."
        return replace(_snoozed(result, why, timing().gateway_away), cut_off=goes_on)
    token, hooks_token = gateway.token.get_secret_value(), gateway.hooks_token.get_secret_value()
    secrets = Masking(filter(None, (token, hooks_token)))
    capture = partial(Capture, artifacts / "stdout.txt", output, secrets=secrets, show=on_line)
    talk = Conversation(gateway, turn, idle, capture, on_line, watch, ear, tools)
    try:
        result = await _held(talk, result, timeout, goes_on=goes_on)
    except asyncio.CancelledError:
        await talk.stop()
        raise
    finally:
        talk.end()
    if result.status is not RunStatus.OK and not result.cut_off:
        await talk.stop()
    return _judged(result, talk.said, output)


async def _held(talk: Conversation, result: DispatchResult, timeout: timedelta, *, goes_on: bool) -> DispatchResult:
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            if goes_on and is_of_one_run(talk.turn.session_key):
                await reopen(talk.gateway, talk.turn.session_key)
            await _choose_profile(talk.gateway, talk.turn, talk.note)
            await talk.hold()
    except TimeoutError:
        return replace(result, status=RunStatus.TIMEOUT, error=f"Timed out after {format_duration(timeout)}{ENDED}")
    except Silent:
        silence = f"It gave no sign of life for {format_duration(talk.idle)}{ENDED}"
        return replace(result, status=RunStatus.TIMEOUT, error=silence)
    except GatewayError as failed:
        lost = failed.cut_off or (goes_on and not failed.reached)
        return replace(_failed(result, failed), cut_off=lost)
    return result


async def send_event(gateway: OpenClawGateway, text: str, *, session_key: str) -> DispatchResult:
    """Send the main session an event: nothing is delivered, and no child follows."""
    result = _begun(session_key)
    if not await gateway.wait_until_up(timing().gateway_wait):
        return _snoozed(result, f"The OpenClaw gateway at {gateway.url} does not answer.", timing().gateway_away)
    try:
        await gateway.wake(text)
    except GatewayError as failed:
        return _failed(result, failed)
    return replace(
        result,
        summary="The main session was told; what it does with it is not waited for.",
        skip_delivery=True,
        skip_children=True,
        idempotency_action=IdempotencyAction.KEEP,
    )


def _begun(session_key: str) -> DispatchResult:
    """It releases its key, until it has gone well."""
    return DispatchResult(RunStatus.OK, session_key=session_key, idempotency_action=IdempotencyAction.RELEASE)


async def _choose_profile(gateway: OpenClawGateway, turn: ChatTurn, note: Callable[[str], None]) -> None:
    """Have the session use the profile that the job asks for; inheriting nothing leaves it to the gateway's order.

    Raises:
        GatewayError: it was not chosen.
    """
    profile, model = turn.auth_profile, turn.model
    if profile is None or model is None:
        return
    if profile == auth_profile.INHERIT:
        profile = await gateway.profile_of_main(turn.agent)
        if profile is None or not auth_profile.fits(profile, model):
            note(f"The main session of {turn.agent} uses no auth profile for {model}: the gateway's order decides.")
            return
    await gateway.choose_profile(turn, profile)


def _judged(result: DispatchResult, said: Capture, output: Output) -> DispatchResult:
    text = without_blank_ends(said.text)
    result = replace(result, stdout=said.stored(text), content=text)
    if result.status is RunStatus.OK:
        verdict = reply.judge(text)
        if verdict.error is not None:
            result = replace(result, status=RunStatus.ERROR, error=verdict.error, model_failed=verdict.by_model)
        else:
            keep = IdempotencyAction.KEEP
            result = replace(result, skip_delivery=verdict.quiet, idempotency_action=keep)
    shown = cut(text, output.summary) or result.error or ""
    if said.trouble is None:
        return replace(result, summary=shown)
    return replace(result, summary=cut(f"{shown}\n\n{said.trouble}", output.summary), notes=(said.trouble,))


def _failed(result: DispatchResult, failed: GatewayError) -> DispatchResult:
    if failed.retryable and not failed.reached:
        return _snoozed(
            result, failed.message, max(failed.retry_after or timing().gateway_draining, timing().snooze_least)
        )
    sentence = f"{failed.message} {failed.hint}" if failed.hint else failed.message
    return replace(
        result, status=RunStatus.ERROR, error=sentence, retryable=failed.retryable, model_failed=failed.turn_failed
    )


def _snoozed(result: DispatchResult, why: str, delay: timedelta) -> DispatchResult:
    return replace(
        result,
        status=RunStatus.ERROR,
        error=f"Deferred: {why}",
        retry_in=delay,
        skip_delivery=True,
        skip_children=True,
    )
