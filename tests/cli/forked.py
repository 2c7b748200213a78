"""`ocs` forked from a process that has imported it: a call costs what it does, and not once more what it imports.

A fork runs the very code of the installed program, with a folder, an environment and streams of its own; only the
interpreter's start and end are spared. As a program it takes a listening socket and modules to import, and reads a call
from everybody who connects.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import prefect.context

from ocs.cli import main as ocs
from ocs.cli.group import load_all
from ocs.cli.main import command_line

ROOT = Path(__file__).parents[2]
PATIENCE = 120
LARGEST_CALL = 1 << 18
WITH_A_SERVER = (
    *("aiosqlite", "alembic.autogenerate", "alembic.command", "email.parser", "httpx", "packaging.requirements"),
    *("ocs.store.messages", "ocs.store.queries", "ocs.store.tasks", "ocs.server", "ocs.service.backups"),
    *("ocs.service.changing", "deployments.catalogue", "deployments.importing.crontab_lines"),
    *("deployments.importing.scheduler", "deployments.importing.twins", "deployments.prefect_yaml"),
    *("deployments.rollout", "prefect.client.orchestration", "tasks.adapter.publish"),
)
"""What commands import when they need it. It reads the environment when it is called, Prefect but for its settings."""


class Mother:
    """Where calls are forked from, as many at the same time as there are callers."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder
        """A folder for PATH in which a program `ocs` is found that is forked."""
        self.program = folder / "ocs"
        self._address = str(folder / "calls")
        self.program.write_text(STUB.format(python=sys.executable, address=self._address))
        self.program.chmod(0o700)

    def call(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str) -> tuple[int, str, str]:
        """The exit status of a call, and what it wrote to standard output and standard error."""
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wire,
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(stdin.encode())
            given.seek(0)
            wire.settimeout(PATIENCE)
            wire.connect(self._address)
            call = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)}).encode()
            socket.send_fds(wire, [call], [given.fileno(), out.fileno(), err.fileno()])
            pid = int(wire.recv(16))
            try:
                status = int(wire.recv(16))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                wire.recv(16)
                raise
            out.seek(0)
            err.seek(0)
            return status, out.read().decode(), err.read().decode()


@contextlib.contextmanager
def mother(modules: tuple[str, ...], env: Mapping[str, str]) -> Iterator[Mother]:
    """A mother that has imported these modules; it takes calls until the context, or this process, ends."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(f"{folder}/calls")
            listening.listen()
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(listening.fileno()), *modules],
                cwd=ROOT,
                env=env,
                pass_fds=[listening.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
        try:
            yield Mother(Path(folder))
        finally:
            process.communicate()


STUB = """#!{python} -IS
import json, os, signal, socket, sys
wire = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
wire.connect({address!r})
call = {{"arguments": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}}
socket.send_fds(wire, [json.dumps(call).encode()], [0, 1, 2])
pid = int(wire.recv(16))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda got, _: os.kill(pid, got))
os._exit(int(wire.recv(16)) % 256)
"""
"""A program that has its call forked, and passes on how it ended, and the signals it gets."""


def main() -> None:
    """Import, and fork for everybody who connects."""
    atexit.register(_end_at_once)
    number, *modules = sys.argv[1:]
    listening = socket.socket(fileno=int(number))
    for module in modules:
        importlib.import_module(module)
    load_all(command_line())
    if threading.active_count() > 1:
        raise RuntimeError(f"there are threads, a fork would lose them: {threading.enumerate()}")
    gc.freeze()
    _serve(listening)


def _serve(listening: socket.socket) -> None:
    """Fork for each call, and tell each caller how its own has ended, until nobody is there any more who calls."""
    under_way: dict[int, tuple[int, socket.socket]] = {}
    there: dict[socket.socket, int] = {}
    while True:
        ready, _, _ = select.select([sys.stdin, listening, *under_way, *there], [], [])
        if sys.stdin in ready:
            return
        for left in there.keys() & ready:  # the caller was killed
            os.kill(there.pop(left), signal.SIGKILL)
        for ended in under_way.keys() & ready:
            pid, caller = under_way.pop(ended)
            os.close(ended)
            there.pop(caller, None)
            _tell(caller, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            caller.close()
        if listening not in ready:
            continue
        caller, _ = listening.accept()
        call, streams, _, _ = socket.recv_fds(caller, LARGEST_CALL, 3)
        if not call:
            caller.close()
            continue
        pid = os.fork()
        if pid == 0:
            for opened in (listening, caller, *(other for _, other in under_way.values())):
                opened.close()
            _be(**json.loads(call), streams=streams)
            return
        for stream in streams:
            os.close(stream)
        under_way[os.pidfd_open(pid)] = pid, caller
        there[caller] = pid
        _tell(caller, pid)


def _tell(caller: socket.socket, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # it was killed
        caller.send(str(number).encode())


def _be(arguments: list[str], cwd: str, env: dict[str, str], streams: list[int]) -> None:
    """Become the program, called so."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # What they were made for could be sought in; a pipe cannot.
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    prefect.context.GLOBAL_SETTINGS_CONTEXT = Settings()
    sys.argv = ["ocs", *arguments]
    try:
        ocs()
    except SystemExit as ended:
        Ending.status = int(ended.code or 0)
        raise


class Settings:
    """Prefect's, read from a call's environment when it asks for one: what asks for none makes no folder for them."""

    def __getattr__(self, name: str) -> Any:
        if prefect.context.GLOBAL_SETTINGS_CONTEXT is self:
            prefect.context.GLOBAL_SETTINGS_CONTEXT = None  # as it is while Prefect is imported
            prefect.context.refresh_global_settings_context()
        return getattr(prefect.context.GLOBAL_SETTINGS_CONTEXT, name)


class Ending:
    """How the call ended."""

    status = 1


def _end_at_once() -> None:
    """What is done last at exit: to take apart all that was imported would cost more than most calls do."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(Ending.status)


if __name__ == "__main__":
    main()
