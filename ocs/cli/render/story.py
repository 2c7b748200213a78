"""The story of a run: why it ran, its attempts, how it ended, what it said, what followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocs.cli.commands.deliveries import show_deliveries
from ocs.cli.render.output import say, table
from ocs.cli.render.views import run_views
from ocs.rules.dispatch import DispatchKind
from ocs.rules.wording import SHORT, local, took
from ocs.service import session

if TYPE_CHECKING:
    from ocs.store import Store
    from ocs.store.tables import Run

LAST_LINES = 15


async def story_of(store: Store, run: Run) -> dict[str, Any]:
    """The run's view with everything around it."""
    from ocs.store import inbox, queries
    from ocs.store.approvals import approvals_of_run, said_of

    (view,) = await run_views(store, [run])
    attempts = await run_views(store, await queries.attempts(store, run))
    children = await run_views(store, await queries.children_of(store, run.id))
    coming = [waiting for waiting in await queries.waiting(store) if run.id in (waiting.source_run, waiting.retry_of)]
    parent = await queries.run(store, run.parent_run) if run.parent_run else None
    asked = await approvals_of_run(store, run.id)
    return {
        **view,
        "why": _why(run, parent),
        "skip_reason": run.skip_reason,
        "signal": run.signal,
        "session_key": run.session_key,
        "finding": run.finding,
        "attempts": [_brief(attempt) for attempt in attempts],
        "followed_by": [_brief(child) for child in children],
        "waiting": [
            {"job": waiting.job_id, "kind": str(waiting.kind), "scheduled_for": waiting.scheduled_for}
            for waiting in coming
        ],
        "approvals": [
            {"id": str(request.id), "status": str(request.status), "said": said_of(request)} for request in asked
        ],
        "messages": [
            {"id": str(message.id), "from": message.sender, "subject": message.subject, "event": str(receipt.event)}
            for message, receipt in await inbox.shown_to(store, run.id)
        ],
        "ui_url": session.flow_run_link(run.flow_run_id),
    }


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


def _show_runs(title: str, runs: list[dict[str, Any]]) -> None:
    if runs:
        say(f"\n{title}", style="bold")
        rows = [
            (run["id"][:SHORT], run["job"], run["attempt"], run["status"], local(run["started_at"])) for run in runs
        ]
        table(("RUN", "JOB", "ATTEMPT", "STATUS", "STARTED"), rows, spare=("ATTEMPT",))


def _show_end(stream: str, text: str, run: Run, option: str) -> None:
    if not text:
        return
    lines = text.split("\n")
    cut = f" (the last {LAST_LINES} of {len(lines)} lines; all: ocs runs output {str(run.id)[:SHORT]}{option})"
    say(f"\n{stream}{cut if len(lines) > LAST_LINES else ''}", style="bold")
    say("\n".join(lines[-LAST_LINES:]))


def _why(run: Run, parent: Run | None) -> str:
    due = local(run.scheduled_for)
    match run.kind:
        case DispatchKind.SCHEDULED:
            return f"its schedule, for {due}"
        case DispatchKind.MANUAL:
            return "by hand"
        case DispatchKind.CHAIN:
            return f"after {parent.job_id}, run {str(parent.id)[:SHORT]} ({parent.status})" if parent else "after a job"
        case DispatchKind.RETRY:
            return f"attempt {run.attempt}, after run {str(run.retry_of)[:SHORT]}"
        case DispatchKind.REPLAY:
            return "again, after a crash"
        case DispatchKind.QUEUED:
            return "it had waited for another run to end"


def _brief(view: dict[str, Any]) -> dict[str, Any]:
    return {key: view[key] for key in ("id", "job", "kind", "attempt", "status", "started_at", "finished_at")}
