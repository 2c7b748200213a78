"""`python -m bench`: prints a table of ratios and writes the numbers to bench/results/."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import prefect
import psutil
from prefect.client.orchestration import get_client
from rich.console import Console
from rich.table import Table

from bench.measure import Burst, Delays, burst, due_to_start, run_now_to_start
from bench.proxy import CountingProxy
from bench.system import OURS, STOCK, Contestant, System, server

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many runs each measurement takes. The stock worker gets fewer: it starts a Python for each."""

    now: int
    due: int
    burst: int


@dataclass(frozen=True, slots=True)
class Result:
    """Everything measured of one worker."""

    worker: str
    now: Delays
    due: Delays
    burst: Burst


async def measure(contestant: Contestant, sizes: Sizes, api_url: str, pid: int, home: Path) -> Result:
    """One worker, from its start to its end, on a server that has nothing else to do."""
    async with (
        get_client() as client,
        CountingProxy(api_url).running() as proxy,
        System(client, contestant, proxy, pid).working(home) as system,
    ):
        return Result(
            contestant.name,
            now=await run_now_to_start(system, sizes.now),
            due=await due_to_start(system, sizes.due),
            burst=await burst(system, sizes.burst),
        )


def table(ours: Result, stock: Result) -> Table:
    """Ours beside the stock worker's, and by how much it is better."""
    made = Table(title="Trivial jobs on one embedded server")
    for name, justify in (("", "left"), ("ocs worker", "right"), ("process worker", "right"), ("better by", "right")):
        made.add_column(name, justify=justify)  # pyright: ignore[reportArgumentType]

    def seconds(label: str, a: float, b: float) -> None:
        made.add_row(label, f"{a:.3f} s", f"{b:.3f} s", f"{b / a:.1f}x" if a > 0 else "")

    seconds("run now -> start, p50", ours.now.p50, stock.now.p50)
    seconds("run now -> start, longest", ours.now.most, stock.now.most)
    seconds("due -> start, p50", ours.due.p50, stock.due.p50)
    made.add_row("due -> start, earliest", f"{ours.due.least:+.3f} s", f"{stock.due.least:+.3f} s", "")
    a, b = ours.burst, stock.burst
    made.add_row(
        f"burst of {a.runs} ({b.runs})",
        f"{a.runs_per_second:.2f} /s",
        f"{b.runs_per_second:.2f} /s",
        f"{a.runs_per_second / b.runs_per_second:.1f}x",
    )
    made.add_row("API requests a run", f"{a.requests:.1f}", f"{b.requests:.1f}", f"{b.requests / a.requests:.1f}x")
    seconds("server CPU a run", a.server_cpu, b.server_cpu)
    seconds("worker CPU a run", a.worker_cpu, b.worker_cpu)
    return made


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--burst", type=int, default=60, help="runs of our burst; the stock worker gets a sixth")
    size = parser.parse_args().burst
    console = Console()
    with tempfile.TemporaryDirectory() as folder, console.status("Starting a server...") as status:
        home = Path(folder)
        with server(home / "server") as (api_url, pid):
            results: list[Result] = []
            for contestant, sizes in ((OURS, Sizes(20, 20, size)), (STOCK, Sizes(5, 5, max(4, size // 6)))):
                status.update(f"Measuring the {contestant.name} worker...")
                results.append(asyncio.run(measure(contestant, sizes, api_url, pid, home / contestant.name)))
    ours, stock = results
    console.print(table(ours, stock))
    _write(ours, stock, console)


def _write(ours: Result, stock: Result, console: Console) -> None:
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    machine = {"cpus": psutil.cpu_count(), "python": platform.python_version(), "prefect": prefect.__version__}
    numbers = {"at": now.isoformat(), "machine": machine, "ocs": asdict(ours), "process": asdict(stock)}
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(numbers, indent=2) + "\n")
    console.print(f"Written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


if __name__ == "__main__":
    main()
