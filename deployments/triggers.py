"""The automations of a job's `on_event`: compared with what the server has, and sent. A person's pause of one stays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.events import Automation, DeploymentTriggerTypes
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore
from pydantic import TypeAdapter

from deployments.compile import CompiledDeployment, is_trigger_of
from tasks.adapter.deployed import delete_automations

PAGE = 200
SERVERS_OWN = ("id", "created", "updated", "owner_resource", "enabled")
"""What the server adds to an automation, and what a person switches."""


async def automations_of(client: PrefectClient, deployments: Mapping[UUID, str]) -> Mapping[UUID, Sequence[Automation]]:
    """The automations that a rollout has made for these deployments, which are given by name."""
    found: dict[UUID, list[Automation]] = defaultdict(list)
    offset = 0
    while deployments and (page := await client.read_automations(limit=PAGE, offset=offset)):
        for automation in page:
            for deployment_id in _run_by(automation):
                if is_trigger_of(deployments.get(deployment_id), automation.name):
                    found[deployment_id].append(automation)
        offset += len(page)
        if len(page) < PAGE:
            break
    return found


def differ(automations: Sequence[Automation], compiled: CompiledDeployment, deployment_id: UUID) -> bool:
    """Whether these are not the automations that a rollout would make."""
    wanted = [_plain(_automation(spec, deployment_id)) for spec in compiled.triggers]
    there = [_plain(automation) for automation in automations]
    return sorted(wanted, key=str) != sorted(there, key=str)


def paused(automations: Iterable[Automation], compiled: CompiledDeployment) -> set[str]:
    """The names of those that a person has paused."""
    wanted = {str(spec["name"]) for spec in compiled.triggers if spec["enabled"]}
    return {automation.name for automation in automations if not automation.enabled} & wanted


async def send_triggers(
    client: PrefectClient, deployment_id: UUID, compiled: CompiledDeployment, *, is_new: bool
) -> None:
    """Make a deployment's automations anew; what a person has paused is paused again."""
    halted: set[str] = set()
    if not is_new and compiled.triggers:
        there = await automations_of(client, {deployment_id: compiled.name})
        halted = paused(there.get(deployment_id, ()), compiled)
    if not is_new:
        await delete_automations(client, deployment_id)
    for spec in compiled.triggers:
        automation = _automation(spec, deployment_id)
        automation.enabled = automation.enabled and automation.name not in halted
        await client.create_automation(automation)


def _automation(spec: Mapping[str, Any], deployment_id: UUID) -> AutomationCore:
    trigger = TypeAdapter[DeploymentTriggerTypes](DeploymentTriggerTypes).validate_python(spec)
    trigger.set_deployment_id(deployment_id)
    return trigger.as_automation()


def _run_by(automation: Automation) -> Iterable[UUID]:
    return [
        action.deployment_id
        for action in automation.actions
        if isinstance(action, RunDeployment) and action.deployment_id is not None
    ]


def _plain(automation: AutomationCore) -> Any:
    """What a person could have edited of it."""
    return _without_ids(automation.model_dump(mode="json", exclude={"enabled"}))


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return {key: _without_ids(inner) for key, inner in held.items() if key not in SERVERS_OWN}
    return [_without_ids(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value
