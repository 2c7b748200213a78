"""A turn of the real gateway uses the door, added as docs/mcp.md says; what it proposes waits for a person."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.cli.command import OCS, Ocs
from tests.gateway.model import model_server
from tests.gateway.real import TOKEN, RealGateway, skip_unless_installed

pytestmark = [pytest.mark.e2e, pytest.mark.gateway, pytest.mark.timeout(300)]


def test_an_agent_of_the_gateway_reads_jobs_and_proposes_one(tmp_path: Path) -> None:
    skip_unless_installed()
    (tmp_path / "project" / "deployments" / "jobs").mkdir(parents=True)
    (tmp_path / "project" / "prefect.yaml").write_text("name: project\n")
    ocs = Ocs(tmp_path / "project", tmp_path / "ocs")
    ocs.write("tidy", "id: tidy\ndescription: keeps the house\nrun: ./tidy.sh\n")
    with model_server() as model:
        gateway = RealGateway(tmp_path / "home", model)
        typed = ("--arg=mcp", "--arg=--name", "--arg=main", "--arg=--may", "--arg=read,propose")
        where = ("--cwd", str(ocs.folder), "--env", f"OCS_HOME={ocs.home}")
        gateway.command("mcp", "add", "ocs", "--command", str(OCS), *typed, *where)
        assert "13 tools" in gateway.command("mcp", "probe", "ocs")
        gateway.start()
        try:
            assert _said(gateway, "[[use: ocs__list_jobs {}]]") == "ocs__list_jobs has answered."
            assert "keeps the house" in model.answers()[-1]
            wish = {"document": "id: digest\nrun: ./digest.sh\n", "why": "asked for in the chat"}
            _said(gateway, f"[[use: ocs__propose_job {json.dumps(wish)}]]")
        finally:
            gateway.stop()
    (proposal,) = ocs.json("proposals", "list")["proposals"]
    assert (proposal["job"], proposal["proposed_by"], proposal["why"]) == ("digest", "main", "asked for in the chat")


def _said(gateway: RealGateway, prompt: str) -> str:
    """What an agent says in the end."""
    asked = {"model": "openclaw", "messages": [{"role": "user", "content": prompt}]}
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{gateway.url}/v1/chat/completions", headers=authorization, json=asked, timeout=120)
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])
