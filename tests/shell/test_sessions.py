"""What a run has started ends with it: by session, whatever groups its processes make, and nobody else's with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from ocs.rules.dispatch import RunStatus
from tasks.strategies import sessions
from tasks.strategies.sessions import MARK, Process, Session
from tests.shell.test_shell import Bench, bench, lives, until

__all__ = ["bench"]
GROUPS = {
    "timeout": "timeout 600 sleep 601; true",
    "job control": "set -m; sleep 601 & wait",
    "setpgid": "perl -e 'setpgrp(0, 0); sleep 601'; true",
    "a pipeline of them": "set -m; timeout 600 sleep 601 | timeout 600 cat",
    "that ignores SIGTERM": "trap '' TERM; timeout 600 sh -c 'trap \"\" TERM; while :; do sleep 1; done'; true",
    "that is stopped": "timeout 600 sh -c 'kill -STOP $$; sleep 601'; true",
    "a session of its own, waited for": "setsid --wait sleep 601; true",
    "a terminal of its own": "script --quiet --command 'sleep 601' /dev/null; true",
    "that is begun while it is ended": "trap 'timeout 600 sleep 601 & wait' TERM; timeout 600 sleep 601 & wait; wait",
}
"""Ways to leave the process group of the shell, none of them meant to outlive it."""


def of_run(run_id: str) -> list[Process]:
    """The living processes that a run has started, by the mark in their environment."""
    mark = f"{MARK}={run_id}".encode()
    found: list[Process] = []
    for process in sessions.living_processes():
        with suppress(OSError):
            if mark in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


def groups_of(run_id: str) -> set[int]:
    return {process.group for process in of_run(run_id)}


@pytest.mark.parametrize("command", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_whatever_groups_it_makes_all_of_it_is_ended(bench: Bench, command: str, how: str) -> None:
    running = asyncio.create_task(bench.run(command, timeout=2 if how == "timeout" else 600))
    await until(lambda: bool(groups_of(bench.run_id) - {bench.pid}))
    if how == "cancel":
        running.cancel()
    result = await running
    assert of_run(bench.run_id) == []
    assert result.status is {"timeout": RunStatus.TIMEOUT, "cancel": RunStatus.CANCELLED}[how]
    assert "all processes of its session were ended" in (result.error or "")


MULTIPLIES = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(7):
    os.fork() or os.setpgrp()
    time.sleep(0.1)
time.sleep(601)
"""
"""Into a hundred and twenty-eight, each in a group of its own."""


async def test_what_multiplies_while_it_is_ended_is_overtaken(bench: Bench) -> None:
    running = asyncio.create_task(bench.run(f"{sys.executable} -S -c '{MULTIPLIES}'; true"))
    await until(lambda: len(of_run(bench.run_id)) >= 4)
    running.cancel()
    result = await running
    assert of_run(bench.run_id) == []
    assert result.error == "Cancelled; all processes of its session were ended."


async def test_what_it_leaves_running_is_ended_and_named(bench: Bench) -> None:
    result = await bench.run("nohup sleep 601 >/dev/null 2>&1 & timeout 600 cat /dev/zero >/dev/null & echo done")
    assert of_run(bench.run_id) == []
    assert (result.status, result.stdout.text) == (RunStatus.OK, "done")
    (note,) = result.notes
    assert note.startswith("3 processes that it left running were ended: ")
    assert {"sleep", "timeout", "cat"} == set(note.partition(": ")[2].partition(";")[0].split(", "))
    assert note in result.summary


async def test_what_it_leaves_on_purpose_goes_on(bench: Bench) -> None:
    result = await bench.run("setsid sleep 601 >/dev/null 2>&1 & echo $!")
    service = int(result.stdout.text)
    try:
        assert lives(service)
        assert result.notes == ()
    finally:
        os.kill(service, signal.SIGKILL)


VICTIM = """
import asyncio, sys
from pathlib import Path
from tests.shell.test_shell import Bench
async def work(bench):
    running = asyncio.create_task(bench.run(sys.argv[2], timeout=600))
    await bench.started.wait()
    print(bench.run_id, flush=True)
    await running
asyncio.run(work(Bench(Path(sys.argv[1]))))
"""


@pytest.mark.parametrize("command", GROUPS.values(), ids=GROUPS)
async def test_a_killed_worker_takes_all_of_it_along(tmp_path: Path, command: str) -> None:
    run = [sys.executable, "-c", VICTIM, str(tmp_path), command]
    with subprocess.Popen(run, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        run_id = victim.stdout.readline().strip()
        await until(lambda: len(of_run(run_id)) >= 2)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        await until(lambda: not of_run(run_id))


@pytest.fixture
def left() -> Iterator[Session]:
    """A session as a worker leaves it that was killed together with its reaper."""
    run_id = str(uuid4())
    shell = subprocess.Popen(
        ["sh", "-c", "timeout 600 sleep 601; true"], env={**os.environ, MARK: run_id}, start_new_session=True
    )
    yield Session(run_id, shell.pid, sessions.started_at(shell.pid) or 0.0)
    for process in of_run(run_id):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    shell.wait()


async def test_what_is_left_is_ended_by_its_record(left: Session) -> None:
    await until(lambda: len(of_run(left.run)) == 3)
    assert sessions.end([left], 1, 5) == {left: []}
    assert of_run(left.run) == []


async def test_what_is_left_is_ended_when_its_leader_has_gone(left: Session) -> None:
    await until(lambda: len(of_run(left.run)) == 3)
    assert left.pid is not None
    os.kill(left.pid, signal.SIGKILL)
    os.waitpid(left.pid, 0)
    assert sessions.end([left], 1, 5) == {left: []}
    assert of_run(left.run) == []


async def test_what_is_left_is_ended_when_its_worker_died_before_it_could_record_it(left: Session) -> None:
    await until(lambda: len(of_run(left.run)) == 3)
    unrecorded = left._replace(pid=None)
    assert sessions.end([unrecorded], 1, 5) == {unrecorded: []}
    assert of_run(left.run) == []


async def test_what_is_left_is_ended_though_the_clock_was_set(left: Session) -> None:
    await until(lambda: len(of_run(left.run)) == 3)
    moved = left._replace(started_at=left.started_at - 86_400)
    assert sessions.end([moved], 1, 5) == {moved: []}
    assert of_run(left.run) == []


async def test_whoever_got_the_number_since_is_let_live(left: Session) -> None:
    await until(lambda: len(of_run(left.run)) == 3)
    reused = Session(str(uuid4()), left.pid, left.started_at - 60)
    assert sessions.end([reused], 1, 5) == {reused: []}
    assert of_run(left.run)


async def test_a_process_of_another_user_is_told(left: Session) -> None:
    """As after `sudo` in a job: it can be seen, and not ended."""
    if os.geteuid() != 0:
        pytest.skip("it takes root to become another user")
    await until(lambda: len(of_run(left.run)) == 3)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setuid(65534)
            told = sessions.end([left], 0.1, 0.2)
            os.write(writing, json.dumps([str(process) for process in told[left]]).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        survivors = json.load(told)
    assert sorted(survivors) == sorted(str(process) for process in of_run(left.run))
    assert any(name.endswith("(sleep)") for name in survivors)


async def test_psutil_tells_the_same_where_there_is_no_proc(left: Session) -> None:
    await until(lambda: len(of_run(left.run)) == 3)

    def of_session(processes: list[Process]) -> set[Process]:
        return {process for process in processes if process.session == left.pid}

    told = of_session(sessions.by_psutil())
    assert told == of_session(sessions.living_processes())
    assert {process.name for process in told} == {"sh", "timeout", "sleep"}


THREADED = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(601,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


async def test_a_process_whose_first_thread_has_ended_lives() -> None:
    with subprocess.Popen([sys.executable, "-c", THREADED]) as process:
        try:
            await until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
            assert process.pid in {each.pid for each in sessions.living_processes()}
        finally:
            process.kill()
