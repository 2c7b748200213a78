"""`ocs mcp` beside a server and a worker: an agent runs a job, reads what it printed, and ends another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from tests.cli.command import OCS, Ocs
from tests.mcp.asking import Answer, ask

pytestmark = pytest.mark.e2e


async def test_an_agent_runs_jobs_reads_them_and_cancels_one_under_its_name(up: Ocs) -> None:
    up.json("jobs", "add", "greets", "--shell", "echo good morning; echo careful >&2")
    up.json("jobs", "add", "sleeps", "--shell", "sleep 600")
    started = StdioServerParameters(
        command=str(OCS), args=["mcp", "--name", "research"], cwd=up.folder, env=up.environment()
    )
    async with Client(started) as client:
        dispatch = (await ask(client, "run_job", job="greets")).facts["dispatch"]
        shown = await _once(client, "ok", run=dispatch[:8])
        assert {text for label, text in shown.fences.items() if label.startswith("std")} == {"good morning", "careful"}
        assert shown.facts["why"] == "by hand"
        dispatch = (await ask(client, "run_job", job="sleeps")).facts["dispatch"]
        await _once(client, "running", run=dispatch[:8])
        refused = await ask(client, "run_job", job="sleeps")
        assert refused.failed
        assert "running already" in refused.text
        assert (await ask(client, "cancel_run", run="sleeps")).facts["status"] == "cancelled"
        assert (await ask(client, "list_queue")).facts["waiting"] == []
    did = {(entry["actor"], entry["source"]) for entry in up.json("audit", "list", "--job", "sleeps")["audit"]}
    assert ("research", "mcp") in did
    for job in ("greets", "sleeps"):
        up.json("jobs", "remove", job)


async def _once(client: Client, status: str, **arguments: Any) -> Answer:
    """A run's story once it stands so."""
    async with asyncio.timeout(120):
        while True:
            answer = await ask(client, "show_run", **arguments)
            if not answer.failed and answer.facts["status"] == status:
                return answer
            await asyncio.sleep(0.2)


async def test_what_an_agent_proposes_is_rolled_out_when_a_person_says_yes(up: Ocs) -> None:
    started = StdioServerParameters(
        command=str(OCS), args=["mcp", "--name", "research", "--may", "propose"], cwd=up.folder, env=up.environment()
    )
    async with Client(started) as client:
        made = (await ask(client, "propose_job", document="id: digest\nrun: echo digest\n", why="asked for")).facts
    shown = up("proposals", "show", "digest")
    assert "+run: echo digest" in shown.out
    assert up("jobs", "run", "digest").status == 1
    assert (up.json("status")["proposals"], up.json()["proposals"]) == (1, 1)
    assert "ocs proposals list" in up.json()["steps"]
    assert up.json("proposals", "list")["proposals"][0]["id"] == made["id"]
    assert "may not be what you have seen" in up.json("proposals", "accept", "digest", status=1)["error"]["message"]
    assert up.json("proposals", "accept", made["id"][:8])["deployed"]
    assert up.json("jobs", "run", "digest", "--wait")["run"]["summary"].endswith("digest")
    assert up.json("proposals", "reject", made["id"][:8], status=1)["error"]["code"] == "refused"
    assert up.json("proposals", "list")["proposals"] == []
    up.json("jobs", "remove", "digest")
