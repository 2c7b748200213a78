"""The demo: a server of its own, a three-job chain, a job every 20 seconds. All it writes is under .demo."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / ".demo"
CHAIN = ("collect", "analyse", "report")
GIVE_UP_AFTER = 120.0
FINAL = {"ok", "error", "timeout", "skipped", "crashed", "cancelled"}
console = Console()


def ocs(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a person would, with everything it writes kept under .demo."""
    command = [str(Path(sys.executable).with_name("ocs")), *arguments]
    return subprocess.run(command, env=environment(), cwd=ROOT, check=check, text=True, stdout=subprocess.PIPE)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "OCS_"))}
    # Its jobs start in the home folder: giving them one of their own keeps the demo out of yours.
    return kept | {"OCS_HOME": str(DEMO), "HOME": str(DEMO / "home"), "OCS_PROJECT": str(ROOT)}


def answer(*arguments: str) -> dict[str, Any]:
    return json.loads(ocs("--json", *arguments).stdout)


def chain_runs(since: str) -> dict[str, dict[str, Any]]:
    """The newest run of each job of the chain, of this demo only."""
    newest: dict[str, dict[str, Any]] = {}
    for run in answer("runs", "list", "-n", "50")["runs"]:
        if run["job"] in CHAIN and run["started_at"] and run["started_at"] >= since:
            newest.setdefault(run["job"], run)
    return newest


def outcome_table(runs: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="The chain: collect, analyse, report")
    for heading in ("Job", "Status", "Why", "Seconds", "What it said"):
        table.add_column(heading)
    for job in CHAIN:
        run = runs.get(job)
        if run is None:
            table.add_row(job, "waiting", "", "", "")
            continue
        colour = {"ok": "green", "running": "cyan"}.get(run["status"], "red")
        said = [line for line in run["summary"].splitlines() if line not in ("stdout:", "stderr:")]
        duration = "" if run["duration_s"] is None else f"{run['duration_s']:.1f}"
        table.add_row(job, f"[{colour}]{run['status']}[/]", run["kind"], duration, said[0] if said else "")
    return table


def watch_chain(since: str) -> bool:
    """Show the chain as it goes; whether all of it ended well."""
    deadline = time.monotonic() + GIVE_UP_AFTER
    with Live(outcome_table({}), console=console, auto_refresh=False) as live:
        while time.monotonic() < deadline:
            runs = chain_runs(since)
            live.update(outcome_table(runs), refresh=True)
            if any(run["status"] in FINAL - {"ok"} for run in runs.values()):
                return False
            if len(runs) == len(CHAIN) and all(run["status"] == "ok" for run in runs.values()):
                return True
            time.sleep(0.3)
    return False


def port() -> str:
    """Prefect's usual port when it is free, else any."""
    with socket.socket() as probe:
        return "0" if probe.connect_ex(("127.0.0.1", 4200)) == 0 else "4200"


def wait_for_the_end() -> None:
    """Until Ctrl-C, or until `make demo-down` in another terminal."""
    while ocs("--json", "status", check=False).returncode == 0:
        time.sleep(2)


def start() -> bool:
    """Start server and worker, and roll the jobs out; says itself what stands against it."""
    command = [str(Path(sys.executable).with_name("ocs")), "up", "--detach", "--port", port()]
    return subprocess.run(command, env=environment(), cwd=ROOT, check=False).returncode == 0


def show() -> bool:
    """Run the chain, say where to look, and stay; whether the chain ended well."""
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    answer("jobs", "run", "collect")
    good = watch_chain(since)
    link = answer("ui")["url"]
    console.print(f"\nWatch it all in the Prefect UI: [bold]{link}[/]", soft_wrap=True)
    console.print("The link is good once; another one: [bold]OCS_HOME=.demo .venv/bin/ocs ui[/]")
    console.print("The job pulse runs there every 20 seconds.")
    console.print("Ctrl-C ends the demo; so does [bold]make demo-down[/] in another terminal.")
    with contextlib.suppress(KeyboardInterrupt):
        wait_for_the_end()
    return good


def main() -> int:
    (DEMO / "home").mkdir(parents=True, exist_ok=True)
    console.print("Starting a Prefect server of the demo's own. The first start takes a moment.")
    try:
        if not start():
            return 1
        good = show()
    except KeyboardInterrupt:
        good = True
    console.print("\nEnding the demo...")
    ocs("down", check=False)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
