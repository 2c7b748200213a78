"""`ocs` forked from a process that has imported it: a call costs what it does, and not once more what it imports.

A fork runs the very code of the installed program, with a folder, an environment and streams of its own; only the
interpreter's start is shared. As a program it takes a socket and modules to import, and reads a call per message.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ocs.cli import main as ocs
from ocs.cli.group import load_all
from ocs.cli.main import command_line

ROOT = Path(__file__).parents[2]
PATIENCE = 120
LARGEST_CALL = 1 << 18
BARE = ("ocs.store", "ocs.store.queries", "deployments.catalogue", "deployments.prefect_yaml")
"""What reads the environment only when it is called."""
WITH_A_SERVER = (*BARE, "prefect.client.orchestration", "deployments.rollout", "tasks.adapter.publish")
"""Prefect reads it when it is imported: all calls have to be made with the environment this was started with."""


class Mother:
    """Where calls are forked from, one after the other."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire

    def call(self, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str], stdin: str) -> tuple[int, str, str]:
        """The exit status of a call, and what it wrote to standard output and standard error."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin.encode())
            given.seek(0)
            call = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)}).encode()
            socket.send_fds(self._wire, [call], [given.fileno(), out.fileno(), err.fileno()])
            pid = int(self._wire.recv(LARGEST_CALL))
            try:
                status = int(self._wire.recv(LARGEST_CALL))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self._wire.recv(LARGEST_CALL)
                raise
            out.seek(0)
            err.seek(0)
            return status, out.read().decode(), err.read().decode()


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


@contextlib.contextmanager
def program(folder: Path, modules: tuple[str, ...], env: Mapping[str, str]) -> Iterator[Path]:
    """A folder for PATH in which a program `ocs` is found that is forked, as often at the same time as it is called."""
    address = folder / "forks"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(address))
        listening.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, "--listening", str(listening.fileno()), *modules],
            cwd=ROOT,
            env=env,
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    stub = folder / "ocs"
    stub.write_text(STUB.format(python=sys.executable, address=str(address)))
    stub.chmod(0o700)
    try:
        yield folder
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def mother(modules: tuple[str, ...], env: Mapping[str, str]) -> Iterator[Mother]:
    """A mother that has imported these modules; what she forked has ended when the context does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno()), *modules],
            cwd=ROOT,
            env=env,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        theirs.close()
        ours.settimeout(PATIENCE)
        yield Mother(ours)
    process.wait()


def main() -> None:
    """Import, and fork for every call that comes in, or for everybody who connects."""
    listening = sys.argv[1] == "--listening"
    number, *modules = sys.argv[2:] if listening else sys.argv[1:]
    wire = socket.socket(fileno=int(number))
    for module in modules:
        importlib.import_module(module)
    load_all(command_line())
    if threading.active_count() > 1:
        raise RuntimeError(f"there are threads, a fork would lose them: {threading.enumerate()}")
    gc.freeze()
    if listening:
        _serve_all(wire)
    else:
        while _serve_one(wire):
            pass


def _serve_all(listening: socket.socket) -> None:
    """Each caller has a process of its own, which waits for its call to end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel collects them
    while True:
        wire, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            with contextlib.suppress(BrokenPipeError):  # the caller was killed
                _serve_one(wire)
            return
        wire.close()


def _serve_one(wire: socket.socket) -> bool:
    """False when there are no more calls, or when this is the call, which has ended."""
    message, streams, _, _ = socket.recv_fds(wire, LARGEST_CALL, 3)
    if not message:
        return False
    pid = os.fork()
    if pid == 0:
        wire.close()
        _be(**json.loads(message), streams=streams)
        return False
    for stream in streams:
        os.close(stream)
    wire.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    wire.send(str(os.waitstatus_to_exitcode(status)).encode())
    return True


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
    sys.argv = ["ocs", *arguments]
    ocs()


if __name__ == "__main__":
    main()
