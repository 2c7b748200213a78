"""The story of a run: why it ran, its attempts, how it ended, what it said, what followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocs.cli.render.deliveries import show_deliveries
from ocs.cli.render.output import say, table
from ocs.rules.costs import of_dollars, told
from ocs.rules.wording import SHORT, local, took

if TYPE_CHECKING:
    from ocs.store.tables import Run

LAST_LINES = 15


def show_story(run: Run, story: dict[str, Any]) -> None:
    """The story for people."""
    code = "" if run.exit_code is None else str(run.exit_code)
    rows = [
        ("run", story["id"]),
        ("job", story["job"]),
        ("status", story["status"]),
        ("why it ran", story["why"]),
        ("meant for", local(story["scheduled_for"])),
        ("started", local(story["started_at"])),
        ("ended", local(story["finished_at"])),
        ("started in", run.folder),
        ("took", took(story["duration_s"])),
        ("exit code", f"{code} ({run.signal})" if run.signal else code),
        *(("approval", f"{asked['id'][:SHORT]}: {asked['said']}") for asked in story["approvals"]),
        ("conversation", run.session_key),
        ("model", run.model),
        *(("used", _used(use)) for use in story["used"]),
        ("cost", _cost(story)),
        *(
            ("was shown", f"message {shown['id'][:SHORT]} from {shown['from']}: {shown['event']}")
            for shown in story["messages"]
        ),
        ("found", run.finding),
        ("in short", story["error"] or story["summary"].strip()),
        ("in the UI", story["ui_url"]),
    ]
    table(("", ""), [row for row in rows if row[1]])
    _show_runs("Attempts", story["attempts"] if len(story["attempts"]) > 1 else [])
    _show_runs("What followed", story["followed_by"])
    if story["deliveries"]:
        say("\nDeliveries", style="bold")
        show_deliveries(story["deliveries"])
    for waiting in story["waiting"]:
        say(f"\nStill to come: {waiting['job']} ({waiting['kind']}) at {local(waiting['scheduled_for'])}")
    _show_end("stdout", run.stdout, run, "")
    _show_end("stderr", run.stderr, run, " --stderr")


def _used(use: dict[str, Any]) -> str:
    tokens = use["tokens"]
    if not (tokens["in"] or tokens["out"]):
        return f"{use['model'] or 'a model'}: not known"
    cached = f" ({tokens['cached']:,} cached)" if tokens["cached"] else ""
    return f"{use['model'] or 'a model'}: {tokens['in']:,} tokens read{cached}, {tokens['out']:,} written"


def _cost(story: dict[str, Any]) -> str | None:
    if not story["used"]:
        return None
    return told(of_dollars(story["cost_usd"], at_least=story["cost_at_least"]))


def _show_runs(title: str, runs: list[dict[str, Any]]) -> None:
    if runs:
        say(f"\n{title}", style="bold")
        rows = [
            (run["id"][:SHORT], run["job"], run["attempt"], run["status"], local(run["started_at"]), run.get("model"))
            for run in runs
        ]
        table(("RUN", "JOB", "ATTEMPT", "STATUS", "STARTED", "MODEL"), rows, spare=("ATTEMPT", "MODEL"))


def _show_end(stream: str, text: str, run: Run, option: str) -> None:
    if not text:
        return
    lines = text.split("\n")
    cut = f" (the last {LAST_LINES} of {len(lines)} lines; all: ocs runs output {str(run.id)[:SHORT]}{option})"
    say(f"\n{stream}{cut if len(lines) > LAST_LINES else ''}", style="bold")
    say("\n".join(lines[-LAST_LINES:]))
