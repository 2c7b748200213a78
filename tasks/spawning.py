"""Spawning from a turn: the tools that an agent has where its job says so, and what becomes of a call."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from ocs import settings
from ocs.errors import NotFound, OcsError, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.spawn_tools import offered, wish_of
from ocs.rules.wording import SHORT, first_line, utc
from ocs.spec import Agent, Job, Spawn
from ocs.store import spawning
from ocs.store.tasks import Begun
from tasks.adapter import runtime
from tasks.adapter.deployed import job_in
from tasks.adapter.transient import retry_transient
from tasks.starting import Place, start
from tasks.strategies.work import Work

SOURCE = "run"


class SpawnTools:
    """What the agent of a run may call. Who asks is known by the connection: it is the run whose turn that is."""

    def __init__(self, grant: Spawn, agent: Agent, work: Work) -> None:
        self.offered = offered(grant)
        self._grant = grant
        self._agent = agent
        self._work = work

    async def call(self, name: str, arguments: str) -> str:
        """Do what the agent asks for; what is answered is JSON, a refusal too."""
        try:
            answer = await self._started(name, arguments)
        except OcsError as refused:
            answer = _refusal(refused)
        said = f"started {answer['label']}" if answer["ok"] else first_line(str(answer["error"]))
        self._work.show("activity", f"{name}: {said}")
        return json.dumps(answer, ensure_ascii=False)

    async def _started(self, name: str, arguments: str) -> dict[str, Any]:
        job, run_id = self._work.job, self._work.context.run_id
        wish = wish_of(name, arguments, self._grant, agent=self._agent.agent, now=runtime.clock())

        async def begun() -> Begun:
            store = await runtime.store()
            tells = job.deliver.named if job.deliver else ()
            asker = await spawning.asker_of(store, run_id, self._grant, tells, read_only=self._agent.read_only)
            by = Attribution(f"{job.id} (run {str(run_id)[:SHORT]})", SOURCE, runtime.clock())
            async with get_client() as client:
                find = partial(_template, client)
                ((begun, _),) = await start(client, store, [(wish, Place())], find, asker=asker, by=by)
            return begun

        # Asked again after a failure it is the same task, by its label.
        return _view(await retry_transient(f"start what run {run_id} asks for", begun), wish.at)


async def _template(client: PrefectClient, name: str) -> Job:
    try:
        deployment = await client.read_deployment_by_name(f"{settings.FLOW_NAME}/{name}")
    except ObjectNotFound:
        raise NotFound(f'The template "{name}" is not rolled out.', hint="A person has to: ocs deploy") from None
    job = job_in(deployment.parameters)
    if job is None or not isinstance(job.run.work, Agent):
        raise Refused(f'"{name}" is no template: that is a job with run.agent.')
    return job


def _view(begun: Begun, at: Any) -> dict[str, Any]:
    task = begun.task
    told: Mapping[str, Any] = {"label": task.label, "id": str(task.id), "template": task.template, "agent": task.agent}
    return {"ok": True, **told, "begins": utc(at) or "now", "already": begun.already}


def _refusal(refused: OcsError) -> dict[str, Any]:
    problems = [{"path": each.path, "message": each.message} for each in refused.problems]
    hint = {"hint": refused.hint} if refused.hint else {}
    return {"ok": False, "error": refused.message, "problems": problems, **hint}


def tools_of(job: Job, agent: Agent, work: Work) -> SpawnTools | None:
    """The tools of a run's agent, None where its job may start nothing."""
    return SpawnTools(job.spawn, agent, work) if job.spawn is not None else None
