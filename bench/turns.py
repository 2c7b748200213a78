"""`python -m bench.turns`: many turns of agents waiting in one worker, and a shell job in the middle of them."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from rich.console import Console
from rich.table import Table

from bench.measure import Delays, due_to_start_of, run_now_to_start
from bench.proxy import CountingProxy
from bench.system import Contestant, System, server

APART = timedelta(seconds=0.5)
"""Between due times: as quick as two cores can begin runs, so that lateness tells of the waiting ones."""
AHEAD = timedelta(seconds=5)
PATIENCE = 600.0
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Turns:
    """`first` and `last` are how late the first and the last quarter began; `alone` and `among` are for shell jobs."""

    waiting: int
    memory_each: float
    first: Delays
    last: Delays
    alone: Delays
    among: Delays


class Gateway:
    """Takes turns, and keeps them waiting until it is told to let them go."""

    def __init__(self) -> None:
        self.waiting = 0
        self.release = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1000) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.release.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            is_watched = b"text/event-stream" in head
            kind = b"text/event-stream" if b"/v1/chat" in head or is_watched else b"application/json"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nConnection: close\r\n\r\n")
            if b"/v1/chat" in head:
                await self._turn(writer)
            elif is_watched:
                writer.write(b'data: {"items": []}\n\n')
                await writer.drain()
                await self.release.wait()
            else:
                writer.write(b"{}")
            await writer.drain()
        writer.close()

    async def _turn(self, writer: asyncio.StreamWriter) -> None:
        self.waiting += 1
        writer.write(b": begun\n\n")
        await writer.drain()
        await self.release.wait()
        self.waiting -= 1
        writer.write(b'data: {"choices": [{"delta": {"content": "done"}}]}\n\ndata: [DONE]\n\n')


async def measure(turns: int, api_url: str, pid: int, home: Path) -> Turns:
    """Let them begin one after the other, look at the worker while all of them wait, and let them end."""
    gateway = Gateway()
    async with gateway.serving() as url, get_client() as client, CountingProxy(api_url).running() as proxy:
        arguments = ("-m", "ocs.worker", "--name", "bench", "--limit", str(turns + 10), "--pool")
        worker = Contestant("turns", "openclaw", arguments, {"OPENCLAW_GATEWAY_URL": url})
        async with System(client, worker, proxy, pid).working(home) as system:
            return await _measure(system, gateway, turns)


async def _measure(system: System, gateway: Gateway, turns: int) -> Turns:
    task = {"message": "Wait.", "idle_timeout": "1h"}
    agent = await system.deploy("bench-agent", {"agent": task, "timeout": "1h"})
    await _warm_up(system, gateway, await system.run(deployment=agent))
    alone = await run_now_to_start(system, 10)
    idle = system.memory()

    first = datetime.now(UTC) + AHEAD
    due = [first + number * APART for number in range(turns)]
    created = [await system.run(at, deployment=agent) for at in due]
    await _all_wait(gateway, turns)
    held = system.memory()
    among = await run_now_to_start(system, 10)
    gateway.release.set()
    delays = due_to_start_of(due, await system.ended(*created))
    quarter = max(1, turns // 4)
    return Turns(
        turns, (held - idle) / turns / MIB, _delays(delays[:quarter]), _delays(delays[-quarter:]), alone, among
    )


async def _warm_up(system: System, gateway: Gateway, flow_run: FlowRun) -> None:
    """The first turn loads what later ones find loaded."""
    await _all_wait(gateway, 1)
    gateway.release.set()
    await system.ended(flow_run)
    gateway.release.clear()


async def _all_wait(gateway: Gateway, turns: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while gateway.waiting < turns:
            await asyncio.sleep(0.2)


def _delays(seconds: list[float]) -> Delays:
    return Delays(statistics.median(seconds), min(seconds), max(seconds), len(seconds))


def table(measured: Turns) -> Table:
    """What it costs to wait, and whether anybody is late because of it."""
    made = Table(title=f"{measured.waiting} turns of agents waiting in one worker")
    for name, justify in (("", "left"), ("p50", "right"), ("most", "right")):
        made.add_column(name, justify=justify)  # pyright: ignore[reportArgumentType]
    made.add_row("memory of a waiting turn", f"{measured.memory_each:.2f} MiB", "")
    for label, delays in (
        ("due -> start, the first quarter", measured.first),
        ("due -> start, the last quarter", measured.last),
        ("shell job, run now -> start, alone", measured.alone),
        ("shell job, run now -> start, among them", measured.among),
    ):
        made.add_row(label, f"{delays.p50:.3f} s", f"{delays.most:.3f} s")
    return made


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("--turns", type=int, default=200, help="turns that wait at the same time")
    turns = parser.parse_args().turns
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with server(home / "server") as (api_url, pid):
            measured = asyncio.run(measure(turns, api_url, pid, home / "worker"))
    Console().print(table(measured))
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
