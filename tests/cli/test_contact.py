"""Commands that follow a run while its server goes away: they say so, go on when it is back, and give up in the end."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import IO

import pytest

from ocs.server import embedded_server
from tests.cli.command import PATIENCE, Ocs
from tests.cli.live import eventually

pytestmark = pytest.mark.e2e


def read_until(stream: IO[str] | None, words: str) -> None:
    """The next line with these words; without one, the program has ended."""
    assert stream is not None
    said: list[str] = []
    while words not in (line := stream.readline()):
        assert line, said
        said.append(line)


def test_who_follows_a_run_hears_of_a_lost_server_and_goes_on_when_it_is_back(
    ocs: Ocs, with_database: Callable[[Path], Path], tmp_path: Path
) -> None:
    with_database(ocs.home)
    gate = tmp_path / "gate"
    ocs.write("slow", f"id: slow\nrun: echo begun; until [ -e {gate} ]; do sleep 0.1; done; echo over\n")
    ocs.json("up", "--detach", "--port", "0")
    try:
        with ocs.started("jobs", "run", "slow", "--wait") as waiting:
            read_until(waiting.stdout, "begun")
            (run,) = ocs.json("runs", "list")["runs"]
            with ocs.started("runs", "logs", run["id"], "--follow") as following:
                read_until(following.stdout, "begun")
                up = json.loads((ocs.home / "up.json").read_text())
                os.kill(up["pid"], signal.SIGSTOP)  # the supervisor would be quicker than what is to be heard
                os.kill(up["server_pid"], signal.SIGKILL)
                for process in (waiting, following):
                    read_until(process.stderr, "does not answer; trying again.")
                os.kill(up["pid"], signal.SIGCONT)
                for process in (waiting, following):  # it starts the server again
                    read_until(process.stderr, "The server answers again.")
                gate.touch()
                said, told = waiting.communicate(timeout=PATIENCE)
                log, _ = following.communicate(timeout=PATIENCE)
        assert (waiting.returncode, following.returncode) == (0, 0)
        assert re.search(r"^over$.*^ok\s+slow", said, flags=re.MULTILINE | re.DOTALL)
        assert "over" in log
        assert "Traceback" not in told
    finally:
        ocs("down", "--now")


def test_a_server_that_does_not_come_back_is_given_up_and_the_run_is_not(
    ocs: Ocs, with_database: Callable[[Path], Path], tmp_path: Path
) -> None:
    ocs.write("patient", "id: patient\nrun: 'true'\n")
    with embedded_server(with_database(tmp_path / "server")) as (api_url, server):
        ocs.env["PREFECT_API_URL"] = api_url
        ocs.json("deploy")
        ocs.env |= {"OCS_TIMING_SERVER_LATE": "1", "OCS_TIMING_SERVER_GIVEN_UP": "2"}  # else a minute
        with ocs.started("--json", "jobs", "run", "patient", "--wait") as waiting:
            eventually(lambda: ocs.json("queue", "list")["queue"])
            server.end(timedelta(seconds=10))
            said, told = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 3
    error = json.loads(said)["error"]
    assert error["code"] == "server_unreachable"
    assert api_url in error["message"]
    assert "ocs runs list --job patient" in error["hint"]
    assert "does not answer; trying again." in told
    assert [row["job"] for row in ocs.json("queue", "list")["queue"]] == ["patient"]
