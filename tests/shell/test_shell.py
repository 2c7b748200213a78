"""The shell strategy, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from ocs.rules.dispatch import DispatchResult, RunStatus
from ocs.spec import Output, Shell
from tasks.strategies import environment
from tasks.strategies.live import AT_ONCE, LONGEST, LiveLines
from tasks.strategies.shell import run_shell
from tests.conftest import Times


@dataclass
class Bench:
    """Runs commands and keeps what was shown of them."""

    artifacts: Path
    project: Path | None = None
    lines: list[tuple[str, str]] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    pid: int = 0
    run_id: str = field(default_factory=lambda: str(uuid4()))
    tells: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, whoever is told of the process is never done with it."""

    def __post_init__(self) -> None:
        self.tells.set()

    async def run(
        self,
        command: str,
        *,
        timeout: float = 30,
        output: Output | None = None,
        secrets: dict[str, str] | None = None,
        **shell: Any,
    ) -> DispatchResult:
        async def on_start(pid: int, _started_at: float) -> None:
            self.pid = pid
            self.started.set()
            await self.tells.wait()

        written = Shell.model_validate({"command": command, **shell})
        return await run_shell(
            written,
            run_id=self.run_id,
            timeout=timedelta(seconds=timeout),
            output=output or Output(),
            secrets=secrets or {},
            folder=environment.folder_of(written, self.project),
            artifacts=self.artifacts,
            on_line=lambda stream, line: self.lines.append((stream, line)),
            on_start=on_start,
        )


@pytest.fixture
def bench(tmp_path: Path, times: Times) -> Bench:
    times(grace=0.3)
    return Bench(tmp_path / "artifacts")


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not fact():
            await asyncio.sleep(0.02)


def lives(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def members(group: int) -> list[int]:
    found: list[int] = []
    for pid in psutil.pids():
        with suppress(ProcessLookupError):  # other processes come and go meanwhile
            if os.getpgid(pid) == group and lives(pid):
                found.append(pid)
    return found


async def test_output_exit_code_and_live_lines(bench: Bench) -> None:
    result = await bench.run("echo out; echo err >&2; printf 'no newline'")
    assert (result.status, result.exit_code, result.signal) == (RunStatus.OK, 0, None)
    assert (result.stdout.text, result.stderr.text) == ("out\nno newline", "err")
    assert set(bench.lines) == {("stdout", "out"), ("stdout", "no newline"), ("stderr", "err")}


async def test_a_failure_keeps_its_code_and_both_streams(bench: Bench) -> None:
    result = await bench.run("echo half; echo why >&2; exit 7")
    assert (result.status, result.exit_code, result.error) == (RunStatus.ERROR, 7, "Exited with code 7.")
    assert (result.stdout.text, result.stderr.text) == ("half", "why")


async def test_a_code_that_counts_as_success(bench: Bench) -> None:
    result = await bench.run("echo partly; exit 24", success_codes=[0, 24])
    assert (result.status, result.exit_code, result.error) == (RunStatus.OK, 24, None)


async def test_a_signal_is_named_and_is_no_timeout(bench: Bench) -> None:
    result = await bench.run("kill -KILL $$")
    assert (result.status, result.exit_code, result.signal) == (RunStatus.ERROR, None, "SIGKILL")


@pytest.mark.parametrize(
    "command", ["sleep 600 & sleep 600", "trap '' TERM; (trap '' TERM; sleep 600) & sleep 600; sleep 600"]
)
async def test_a_timeout_ends_the_whole_group(bench: Bench, command: str, tmp_path: Path) -> None:
    result = await bench.run(f"echo $$; {command}", timeout=0.5)
    assert result.status is RunStatus.TIMEOUT
    assert "Timed out after" in (result.error or "")
    group = int(result.stdout.text)
    await until(lambda: not any(os.getpgid(pid) == group for pid in psutil.pids() if lives(pid)))


async def test_what_lingers_after_the_end_is_ended(bench: Bench, tmp_path: Path) -> None:
    result = await bench.run("sleep 600 & echo $!")
    assert result.status is RunStatus.OK
    await until(lambda: not lives(int(result.stdout.text)))


async def test_a_daemon_that_holds_the_pipes_does_not_hold_the_run(bench: Bench) -> None:
    result = await bench.run("setsid sleep 20 & echo $!; echo done")
    assert result.stdout.text.endswith("done")


async def test_the_end_of_a_pipeline_is_not_cut_off(bench: Bench) -> None:
    result = await bench.run("exec > >(sleep 0.3; cat); echo late")
    assert result.stdout.text == "late"


async def test_cancelling_ends_the_group_and_keeps_what_was_said(bench: Bench) -> None:
    running = asyncio.create_task(bench.run("echo so far; sleep 600 & wait"))
    await until(lambda: "so far" in [line for _, line in bench.lines])
    running.cancel()
    result = await running
    assert not lives(bench.pid)
    assert (result.status, result.stdout.text) == (RunStatus.CANCELLED, "so far")
    assert result.error == "Cancelled; all processes of its session were ended."


async def test_the_environment_is_clean(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", "worker-token")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "cloud-key")
    result = await bench.run("env", env={"MINE": "1"})
    names = {line.partition("=")[0] for line in result.stdout.text.splitlines()}
    assert {"PATH", "HOME", "USER", "LOGNAME", "LANG", "SHELL", "TMPDIR", "MINE"} <= names
    assert not names & {"OPENCLAW_GATEWAY_TOKEN", "AWS_SECRET_ACCESS_KEY"}
    inherited = await bench.run("env", inherit_env=True)
    assert "cloud-key" in inherited.stdout.text
    assert "worker-token" not in inherited.stdout.text


async def test_a_job_that_calls_ocs_means_the_installation_that_runs_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "here"))
    assert (await bench.run('echo "$OCS_HOME"')).stdout.text == str(tmp_path / "here")
    assert (await bench.run('echo "$OCS_HOME"', env={"OCS_HOME": "/elsewhere"})).stdout.text == "/elsewhere"
    monkeypatch.delenv("OCS_HOME")
    assert (await bench.run('echo "${OCS_HOME-none}"')).stdout.text == "none"
    monkeypatch.setenv("PATH", "/nowhere:/usr/bin:/bin")  # an environment that nobody has activated
    folders = (await bench.run('echo "$PATH"')).stdout.text.split(":")
    assert folders == ["/nowhere", "/usr/bin", "/bin", str(Path(sys.executable).parent)]
    assert (await bench.run('echo "$PATH"', env={"PATH": "/bin"})).stdout.text == "/bin"


async def test_a_secret_reaches_the_job_and_nobody_else(bench: Bench) -> None:
    command = 'test "$TOKEN" = top-secret-value && echo "it is $TOKEN" && yes "$TOKEN" | head -20000; echo $TOKEN >&2'
    result = await bench.run(command, secrets={"TOKEN": "top-secret-value"})
    assert result.stdout.text.startswith("it is ********")
    assert result.stdout.path is not None
    everything = [
        Path(result.stdout.path).read_text(), result.stdout.text, result.stderr.text, result.summary, result.content,
        str(bench.lines), str(result.error),
    ]  # fmt: skip
    assert not any("top-secret-value" in said for said in everything)


async def test_large_output_is_kept_whole_in_a_private_file(bench: Bench) -> None:
    """Acceptance row 48."""
    result = await bench.run('for i in $(seq 1 10000); do echo "zeile $i ä"; done')
    assert result.stdout.path is not None
    whole = Path(result.stdout.path)
    assert whole.read_text().splitlines()[-1] == "zeile 10000 ä"
    assert whole.stat().st_size == result.stdout.bytes
    assert whole.stat().st_mode & 0o077 == 0
    assert len(result.stdout.text.encode()) <= Output().excerpt
    assert result.stdout.text.startswith("zeile 1 ä\n")
    assert result.stdout.text.endswith("zeile 10000 ä")


async def test_binary_output_is_survived(bench: Bench) -> None:
    result = await bench.run("head -c 3000 /dev/urandom; printf '\\xff\\xfe\\x00'")
    assert result.status is RunStatus.OK
    assert 0 < result.stdout.bytes <= 3003  # what a terminal takes for a command is not kept
    said = (result.stdout.text, result.summary, result.content, str(bench.lines))
    assert not any("\0" in text or "\\x00" in text for text in said)


@pytest.mark.parametrize(
    ("shell", "said"),
    [
        ({"cwd": "/no/such/folder"}, "Its folder /no/such/folder does not exist"),
        ({"interpreter": "/no/such/shell"}, "The interpreter /no/such/shell does not exist"),
        ({"interpreter": "/etc/passwd"}, "could not be started"),
    ],
)
async def test_what_cannot_start_is_told_in_a_sentence(bench: Bench, shell: dict[str, str], said: str) -> None:
    result = await bench.run("true", **shell)
    assert (result.status, result.exit_code) == (RunStatus.ERROR, None)
    assert said in (result.error or "")


async def test_a_command_that_does_not_exist_is_named_and_so_is_where_it_was_looked_for(bench: Bench) -> None:
    result = await bench.run("no-such-command-anywhere", cwd="/usr", env={"PATH": "/opt/tools:/bin"})
    assert result.exit_code == 127
    assert "no-such-command-anywhere" in (result.error or "")
    assert "It ran in /usr with PATH=/opt/tools:/bin; run.shell.cwd sets another folder" in (result.error or "")


@pytest.mark.parametrize(
    ("cwd", "starts"),
    [(None, "project"), ("data", "project/data"), ("/usr", "/usr"), ("~", "~"), ("~/data", "~/data")],
)
async def test_a_command_starts_in_its_project(bench: Bench, tmp_path: Path, cwd: str | None, starts: str) -> None:
    (tmp_path / "project" / "data").mkdir(parents=True)
    (tmp_path / "home" / "data").mkdir(parents=True)
    bench.project = tmp_path / "project"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(tmp_path / "home"))
        result = await bench.run("pwd", cwd=cwd)
    expected = str(tmp_path / starts.replace("~", "home"))
    assert (result.stdout.text, result.folder) == (expected, expected)


async def test_where_there_is_no_project_it_starts_in_the_home(bench: Bench, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HOME", str(tmp_path))
        assert (await bench.run("pwd")).stdout.text == str(tmp_path)


async def test_many_at_once(tmp_path: Path) -> None:
    benches = [Bench(tmp_path / str(number)) for number in range(60)]
    results = await asyncio.gather(*(bench.run(f"echo {number}") for number, bench in enumerate(benches)))
    assert [result.stdout.text for result in results] == [str(number) for number in range(60)]


HOG = """
import asyncio, resource, sys
from pathlib import Path
from tests.shell.test_shell import Bench
bench = Bench(Path(sys.argv[1]))
asyncio.run(bench.run("true"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = asyncio.run(bench.run("head -c 104857600 /dev/zero | tr '\\\\0' 'x'", timeout=120))
print(result.stdout.bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_hundred_megabytes_need_no_memory(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HOG, str(tmp_path)], capture_output=True, text=True, check=True)
    size, grown_kib = map(int, done.stdout.split())
    assert size == 104857600
    assert grown_kib < 20_000


VICTIM = """
import asyncio, sys
from pathlib import Path
from tests.shell.test_shell import Bench
async def work(bench):
    running = asyncio.create_task(bench.run("sleep 600 & sleep 600"))
    await bench.started.wait()
    print(bench.pid, flush=True)
    await running
asyncio.run(work(Bench(Path(sys.argv[1]))))
"""


async def test_a_killed_worker_takes_its_jobs_with_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", VICTIM, str(tmp_path)], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        group = int(victim.stdout.readline())
        await until(lambda: len(members(group)) >= 2)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        await until(lambda: not members(group))


def test_a_flood_of_lines_is_cut_and_the_cut_is_told() -> None:
    shown: list[str] = []
    now = 0.0
    live = LiveLines(shown.append, clock=lambda: now)
    live.feed("".join(f"{number}\n" for number in range(AT_ONCE + 1000)))
    assert len(shown) == AT_ONCE
    now = 1.0
    live.feed("again\n" + "x" * (LONGEST + 10) + "\nmore\n")
    live.finish()
    assert shown[AT_ONCE] == "again"
    assert shown[AT_ONCE + 1] == "x" * LONGEST + " ..."
    assert shown[AT_ONCE + 2] == "more"
    assert shown[-1].startswith("... 1,000 lines are not shown here")


def test_of_a_long_line_the_beginning_is_shown_however_it_comes() -> None:
    lines: list[str] = []
    live = LiveLines(lines.append)
    for piece in ("begin" + "x" * 3000, "y" * 3000, "\n", "end\n"):
        live.feed(piece)
    live.finish()
    assert lines[0].startswith("beginxxx")
    assert lines[0].endswith("x ...")
    assert lines[1:] == ["end"]


async def test_a_command_ends_as_it_did_though_its_process_could_not_be_recorded(bench: Bench) -> None:
    """As when the store stalls: that is no part of the command, and of its time."""
    bench.tells.clear()
    ended = await bench.run("echo done; exit 3", timeout=15)
    assert (ended.status, ended.exit_code, ended.stdout.text) == (RunStatus.ERROR, 3, "done")
