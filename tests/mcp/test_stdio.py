"""`ocs mcp` as a program: the official client talks to it, and so does who has never read the protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from mcp import Client, MCPError, StdioServerParameters

from tests.cli.command import OCS, PATIENCE, Ocs
from tests.mcp.asking import ask

WITHOUT_THE_EXTRA = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("mcp", "mcp_types"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
sys.argv = ["ocs", "--json", "mcp"]
from ocs.cli import main
main()
"""


@pytest.fixture
def ocs(project: Path) -> Ocs:
    """The installed program in a project without jobs."""
    return Ocs(project, project.parent / "home")


def program(ocs: Ocs, *arguments: str) -> StdioServerParameters:
    """`ocs mcp` as a client starts it."""
    return StdioServerParameters(command=str(OCS), args=["mcp", *arguments], cwd=ocs.folder, env=ocs.environment())


async def test_the_official_client_is_answered_and_10_mb_are_refused(ocs: Ocs) -> None:
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    async with Client(program(ocs, "--name", "research", "--may", "read,dispatch"), read_timeout_seconds=120) as client:
        assert client.instructions
        assert {tool.name for tool in (await client.list_tools()).tools} >= {"list_jobs", "start_task"}
        assert (await ask(client, "list_jobs")).facts["jobs"][0]["id"] == "hello"
        with pytest.raises(MCPError, match="longer than 2 MiB"):
            await client.call_tool("start_task", {"text": "x" * 10_000_000})
        assert "needs the scope run" in (await ask(client, "run_job", job="hello")).text


def test_garbage_is_survived_and_only_the_protocol_stands_on_standard_output(ocs: Ocs) -> None:
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "nobody", "version": "1"}}
    with subprocess.Popen(
        [OCS, "mcp"], cwd=ocs.folder, env=ocs.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as served:  # fmt: skip
        assert served.stdin is not None
        assert served.stdout is not None
        try:
            for garbage in (b"hello\n", b"\xff\xfe\0\n", b"[]\n", b"{" * 100_000 + b"\n", b'{"id": 5}\n', b"\n"):
                served.stdin.write(garbage)
            assert _asked(served.stdin, served.stdout, 1, "initialize", hello)["serverInfo"]["name"] == "ocs"
            _write(served.stdin, {"jsonrpc": "2.0", "method": "notifications/initialized"})
            answer = _asked(served.stdin, served.stdout, 2, "tools/call", {"name": "list_queue", "arguments": {}})
            assert '"waiting": []' in answer["content"][0]["text"]
            served.stdin.close()
            assert served.wait(PATIENCE) == 0
            assert all(json.loads(line) for line in served.stdout)
        finally:
            served.kill()


def test_who_has_not_installed_the_extra_is_told_its_name(ocs: Ocs) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA], cwd=ocs.folder, env=ocs.environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "prefect-openclaw[mcp]" in json.loads(ended.stdout)["error"]["hint"]


@pytest.mark.parametrize(
    ("arguments", "said"), [(("--may", "everything"), "is no scope"), (("--name", "a\nb"), "name")], ids=["may", "name"]
)
def test_what_is_typed_wrong_is_refused(ocs: Ocs, arguments: tuple[str, str], said: str) -> None:
    ended = ocs("mcp", *arguments)
    assert ended.status in (1, 2)
    assert said in ended.err


def _write(to: IO[bytes], message: dict[str, Any]) -> None:
    to.write(json.dumps(message).encode() + b"\n")
    to.flush()


def _asked(to: IO[bytes], out: IO[bytes], number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request, past the errors that garbage is answered with."""
    _write(to, {"jsonrpc": "2.0", "id": number, "method": method, "params": params})
    for line in out:
        answer = json.loads(line)
        if answer.get("id") == number:
            return answer["result"]
    raise AssertionError("it ended without an answer")
