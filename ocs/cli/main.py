"""The `ocs` command: its groups, and how every call ends."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, cast

import typer

from ocs.cli import INTERRUPTED
from ocs.cli.group import Group, put_into
from ocs.cli.registry import COMMANDS
from ocs.cli.render.output import Mode, answer, fail, say, tell
from ocs.errors import OcsError, UsageError
from ocs.own_settings import only_own_settings

NO_MORE_OUTPUT = (errno.EPIPE, errno.ENOSPC)
SHOWN = 60
"""Characters of a path that is too long."""

app = typer.Typer(
    cls=Group,
    name="ocs",
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog="Example:  ocs init demo && cd demo && ocs up --detach && ocs jobs run hello --wait",
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        ours, prefect = version("prefect-openclaw"), version("prefect")
        answer({"version": ours, "prefect": prefect}, lambda: say(f"ocs {ours} (Prefect {prefect})"))
        raise typer.Exit


@app.callback()
def everywhere(
    context: typer.Context,
    project_folder: Annotated[
        Path | None, typer.Option("--project", help="The project's folder; by default the nearest one upwards.")
    ] = None,
    json: Annotated[  # noqa: ARG001  taken out of the arguments before they are parsed; here for the help
        bool, typer.Option("--json", help="Print one JSON document; works before and after a command.")
    ] = False,
    version: Annotated[  # noqa: ARG001  its callback answers
        bool, typer.Option("--version", help="Print the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Scheduled shell and agent jobs on Prefect: nothing runs twice, nothing is lost."""
    if project_folder is not None:
        os.environ["OCS_PROJECT"] = str(project_folder)
    if context.invoked_subcommand is None:
        from ocs.cli.commands import overview

        overview.show()


def command_line() -> Group:
    """The whole command, with all it lists."""
    return put_into(cast("Group", typer.main.get_command(app)), COMMANDS)


def main() -> None:
    """Run the command line and end the process with the status that says how it went."""
    _prepare_streams()
    only_own_settings()
    try:
        exit_status = _run(sys.argv[1:])
        sys.stdout.flush()
    except OSError as failed:
        exit_status = _cannot_be_written(failed)
    except KeyboardInterrupt:
        exit_status = INTERRUPTED
    sys.exit(exit_status)


def _prepare_streams() -> None:
    """A terminal without UTF-8 shows a question mark; whoever closed a stream wants to hear nothing of it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  closed with the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _cannot_be_written(failed: OSError) -> int:
    """Whoever read our output has seen enough, which is no error, or the disk is full; nothing is written at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if failed.errno == errno.EPIPE:
        return 0
    tell(f"Nothing more can be written: {failed.strerror}.", style="red")
    return OcsError.exit_status


def _run(arguments: list[str]) -> int:
    ours, rest = _split(arguments)
    Mode.json = "--json" in ours
    kept = [argument for argument in ours if argument != "--json"]
    try:
        _check_text(arguments)
        result = command_line()([*kept, *rest], prog_name="ocs", standalone_mode=False)
    except OcsError as refused:
        return fail(refused)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.Abort:
        return INTERRUPTED
    except typer.TyperException as wrong:
        return _wrong_usage(wrong)
    except SystemExit as ended:
        # How rich and typer end when the pipe is closed, with a status of their own.
        raise ended.__context__ if isinstance(ended.__context__, BrokenPipeError) else ended from None
    except OSError as failed:
        if failed.errno in NO_MORE_OUTPUT:
            raise
        if failed.errno == errno.ENAMETOOLONG:
            return fail(UsageError(f"A path is longer than this system takes: {str(failed.filename)[:SHOWN]}..."))
        return _report_bug(failed)
    except Exception as bug:  # a person never sees a traceback they did not ask for
        return _report_bug(bug)
    return result if isinstance(result, int) else 0


def _check_text(arguments: list[str]) -> None:
    """Bytes that are no text stand in arguments as half characters, which no database, no file and no JSON takes."""
    for number, argument in enumerate(arguments, start=1):
        if "\0" in argument or any("\ud800" <= character <= "\udfff" for character in argument):
            raise UsageError(f"Argument {number} is not UTF-8 text.", hint="Type it as UTF-8.")


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What is ours to read, and what comes after `--`."""
    if "--" in arguments:
        end = arguments.index("--")
        return arguments[:end], arguments[end:]
    return arguments, []


def _wrong_usage(wrong: typer.TyperException) -> int:
    if type(wrong).__name__ == "NoArgsIsHelpError":  # not public; the help has been shown
        return UsageError.exit_status
    context = getattr(wrong, "ctx", None)
    command = context.command_path if context is not None else "ocs"
    said = wrong.format_message().replace("Value error, ", "")  # pydantic's words, which typer passes on
    return fail(UsageError(said, hint=f"See: {command} --help"))


def _report_bug(bug: Exception) -> int:
    """A short sentence; the traceback goes to the log, or to standard error with OCS_DEBUG."""
    from ocs.service.bugs import kept_bug

    if os.environ.get("OCS_DEBUG"):
        traceback.print_exception(bug)
    return fail(kept_bug(bug, "cli.log"))
