"""How a run that was followed has ended, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ocs.cli.render.output import COLOURS, Mode, answer, fail, say, tell
from ocs.errors import OcsError
from ocs.rules.wording import SHORT, took

if TYPE_CHECKING:
    from ocs.store.tables import Run

LAST_LINES = 15
A_SCREEN = 20
"""Lines that stand above each other where one looks."""


class RunFailed(OcsError):
    """The run that was waited for did not end well."""

    code = "run_failed"


def answer_end(said: dict[str, Any], run: Run, view: dict[str, Any], link: str | None) -> int:
    """Tell the outcome; returns the exit status."""
    whole = {**said, "run": view, "status": view["status"]}
    if view["status"] == "ok" or not Mode.json:
        answer(whole, lambda: show_end(run, view, link))
        return 0 if view["status"] == "ok" else RunFailed.exit_status
    why = f"{run.job_id} ended with status {view['status']}: {run.error or run.summary}"
    return fail(RunFailed(why, hint=f"See: ocs runs show {str(run.id)[:SHORT]}"), whole)


def show_end(run: Run, view: dict[str, Any], link: str | None) -> None:
    """The outcome for people; a failed run's last words again, where much has been printed after them."""
    printed = run.stdout.count("\n") + run.stderr.count("\n")
    if view["status"] not in ("ok", "skipped") and run.stderr and printed > A_SCREEN:
        tell("Its last words on stderr:", style="red")
        for line in run.stderr.split("\n")[-LAST_LINES:]:
            tell(f"| {line}")
    code = "" if run.exit_code is None else f"exit code {run.exit_code}"  # an agent's turn has none
    why = run.error or (run.summary if view["status"] == "skipped" else code)
    for note in view["notes"] if run.error is None else ():  # an error's sentence has them
        tell(note, style="yellow")
    told = "  ".join(filter(None, (view["status"], run.job_id, took(view["duration_s"]), why)))
    say(told, style=COLOURS.get(view["status"]))
    if link:
        say(link, style="dim")
