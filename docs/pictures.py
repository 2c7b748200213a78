"""Make the README's pictures anew from a running demo: `make demo` in one terminal, this in another.

Needs Chromium; CHROMIUM names it when it is not /usr/bin/chromium.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo import ROOT, answer, environment
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

IMAGES = ROOT / "docs" / "images"
SESSION = (
    ("jobs", "list"),
    ("jobs", "add", "disk-space", "--cron", "*/15 * * * *", "--shell", "df -h / | tail -1"),
    ("jobs", "run", "disk-space", "--wait"),
    ("runs", "list", "-n", "5"),
    ("jobs", "add", "typo", "--cron", "0 0 30 2 *", "--shell", "true"),
    ("jobs", "remove", "disk-space"),
)


def terminal() -> None:
    """A picture of a terminal session, typed as shown."""
    console = Console(record=True, width=110, file=io.StringIO(), force_terminal=True)
    for arguments in SESSION:
        typed = " ".join(f"'{word}'" if " " in word else word for word in arguments)
        console.print(Text(f"$ ocs {typed}", style="bold"))
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ocs")), *arguments],
            env={**environment(), "FORCE_COLOR": "1", "COLUMNS": "108"},
            cwd=ROOT,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        console.print(Text.from_ansi(done.stdout.rstrip()))
    drawn = console.export_svg(title="ocs")
    # Without the fonts it would load from elsewhere: any monospaced one will do.
    (IMAGES / "terminal.svg").write_text(re.sub(r"@font-face \{.*?\}", "", drawn, flags=re.DOTALL))


def user_interface() -> None:
    """The page of a chain's run, the list of runs, and the form of a run that waits for approval."""
    url = answer("status")["server"]["url"]
    run = next(run for run in answer("runs", "list", "-n", "100")["runs"] if run["job"] == "analyse")
    pages = {"run.png": f"/runs/flow-run/{run['flow_run_id']}", "runs.png": "/runs"}
    with waiting_run() as approval, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        page.goto(answer("ui")["url"])
        page.wait_for_url(f"{url}/dashboard*")
        for name, path in pages.items():
            page.goto(url + path)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(1500)  # charts draw themselves in
            page.screenshot(path=str(IMAGES / name))
        page.goto(f"{url}/runs/flow-run/{approval['flow_run_id']}")
        page.get_by_role("button", name="Resume").first.click()
        page.get_by_text("Submit").last.wait_for()
        page.wait_for_timeout(1500)
        page.screenshot(path=str(IMAGES / "approval.png"))
        browser.close()


@contextmanager
def waiting_run() -> Generator[dict[str, Any]]:
    """A run that waits for approval, and is rejected when its picture is taken."""
    job = ROOT / "deployments" / "jobs" / "go-live.yaml"
    job.write_text("id: go-live\nrun: ./deploy.sh --stage live\napproval: {required: true, timeout: 4h}\n")
    try:
        answer("deploy", "go-live")
        answer("jobs", "run", "go-live")
        while not (found := [each for each in answer("approvals", "list")["approvals"] if each["job"] == "go-live"]):
            time.sleep(0.5)
        yield found[0]
        answer("approvals", "reject", "go-live", "--by", "ann", "--reason", "only a picture")
    finally:
        answer("jobs", "remove", "go-live")


if __name__ == "__main__":
    terminal()
    user_interface()
