"""From an empty gateway to a daily brief in a chat: the section of docs/agents.md, typed as written."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.cli.command import OCS, Ocs
from tests.cli.documented import ROOT
from tests.gateway.model import Model, model_server
from tests.gateway.real import NODE, PROGRAM, RealGateway, provider, skip_unless_installed
from tests.gateway.telegram import Telegram, telegram_server

pytestmark = [pytest.mark.e2e, pytest.mark.gateway, pytest.mark.slow, pytest.mark.timeout(900)]
TITLE = "## From an empty gateway to a daily brief in a chat\n"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILES = {"json5": "gateway.json5", "yaml": "deployments/jobs/daily-brief.yaml"}


@pytest.fixture
def model() -> Iterator[Model]:
    skip_unless_installed()
    with model_server() as running:
        yield running


@pytest.fixture
def telegram() -> Iterator[Telegram]:
    with telegram_server() as running:
        yield running


@pytest.fixture
def gateway(model: Model, telegram: Telegram, tmp_path: Path) -> RealGateway:
    """Nothing but what `openclaw onboard` leaves, the address of Telegram, and a port of the test's own."""
    gateway = RealGateway(tmp_path / "openclaw", model)
    empty = {
        "gateway": {"port": gateway.port},
        "agents": {"defaults": {"model": {"primary": "stub/echo"}}},
        "models": {"providers": {"stub": provider(model)}},
        "channels": {"telegram": {"apiRoot": telegram.url}},
    }
    (gateway.home / ".openclaw" / "openclaw.json").write_text(json.dumps(empty))
    program = gateway.home / "bin" / "openclaw"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{NODE}" "{PROGRAM}" "$@"\n')
    program.chmod(0o755)
    return gateway


def script(gateway: RealGateway) -> str:
    """The files and commands of the section, and what a person does between them: wait until the gateway answers."""
    section = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8").partition(TITLE)[2].partition("\n### ")[0]
    lines = ["set -e"]
    for kind, text in BLOCK.findall(section):
        if name := FILES.get(kind):
            lines.append(f"cat > {name} <<'THE END'\n{text}THE END")
            continue
        for line in text.splitlines():
            command = line.removeprefix("$ ").replace("ocs up", "ocs up --port 0")  # another one may be up here
            lines += [f"echo '$ {command}'", command]
            if command.endswith(" &"):
                lines += [f"echo $! > {gateway.home}/pid", f"until curl -fs {gateway.url}/health; do sleep 0.5; done"]
    return "\n".join(lines)


def end(gateway: RealGateway) -> None:
    with suppress(FileNotFoundError, psutil.NoSuchProcess):
        process = psutil.Process(int((gateway.home / "pid").read_text()))
        family = [process, *process.children(recursive=True)]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family)


def test_the_section_goes_as_written(
    gateway: RealGateway, telegram: Telegram, with_database: Callable[[Path], Path], tmp_path: Path
) -> None:
    outside = Ocs(tmp_path / "folder", with_database(tmp_path / "home"))
    outside.folder.mkdir()
    # Somebody has written to the bot by the time that it comes.
    telegram.say(4711, "Hello?")
    environment = outside.environment(
        HOME=str(gateway.home),
        PATH=f"{gateway.home / 'bin'}:{NODE.parent}:{OCS.parent}:/usr/bin:/bin",
        TELEGRAM_BOT_TOKEN=telegram.token,
        OPENCLAW_GATEWAY_URL=gateway.url,
        OPENCLAW_SKIP_CRON="1",
    )
    typed = ["/bin/bash", "-c", script(gateway)]
    try:
        typing = subprocess.run(
            typed, cwd=outside.folder, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert typing.returncode == 0, typing.stdout + typing.stderr
    finally:
        outside("down", "--now")
        end(gateway)
    assert "connected" in typing.stdout
    assert "me took the message." in typing.stdout
    asked, tried, brief = (message.text for message in telegram.arrived)
    assert "Your Telegram user id: 4711" in asked
    assert tried.startswith("A test of the target me, asked for by ")
    assert brief.startswith("daily-brief: done\n\nnothing was asked\n\nRun: http")
