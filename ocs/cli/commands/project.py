"""`ocs init` and `ocs schema`: starting a project, and the JSON Schema for editors."""

from __future__ import annotations

import json
import os
import shlex
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ocs import settings
from ocs.cli.importing import local_zone
from ocs.cli.render.output import Mode, answer, print_json, say
from ocs.cli.render.views import run_schema
from ocs.errors import Refused
from ocs.files import READABLE, make_folder, open_file

SCHEMA_FILE = "job.schema.json"
DEFAULTS = """\
# What every job of this project says unless its own file says otherwise: timezone, deliver, retry, limits, cwd.
# What a job takes from here is shown by:  ocs jobs show hello
timezone: {zone}

# Nobody is told of failures yet. Make a target, and take the # away:
#   ocs targets add ops --to telegram:12345       (or --webhook https://..., --apprise mailto://...)
# deliver: {{to: ops, when: failure}}
"""
NOT_TOLD = "env: {}"
IGNORE = "# Data of the embedded server when OCS_HOME points here\n/.ocs/\n"

app = typer.Typer()


@app.command(epilog="Example:  ocs init my-jobs")
def init(folder: Annotated[Path, typer.Argument(help="Where to make it.")] = Path()) -> None:
    """Make a new project: a folder with prefect.yaml, three commented jobs to learn from, and one for backups."""
    from deployments import catalogue, prefect_yaml, yaml_text
    from ocs.spec import job_schema

    root, jobs = _new_project(folder)
    files = {
        **{jobs / name: text for name, text in _starter()},
        jobs.parent / SCHEMA_FILE: json.dumps(job_schema(), indent=2) + "\n",
        root / catalogue.DEFAULTS: DEFAULTS.format(zone=local_zone()),
        root / catalogue.SETTINGS: yaml_text.dump({"name": root.name}),
    }
    if not (root / ".gitignore").exists():
        files[root / ".gitignore"] = IGNORE
    try:
        make_folder(jobs, READABLE)
        for path, text in files.items():
            with open_file(path, "w", READABLE, encoding="utf-8") as file:
                file.write(text)
    except OSError as failed:
        raise Refused(f"{root} cannot be written to: {failed.strerror}.", hint="Name another folder.") from failed
    prefect_yaml.regenerate(catalogue.read(root))
    made = sorted(str(path.relative_to(root)) for path in files)

    def people() -> None:
        say(f"Made a project in {root} with three jobs to learn from and one for backups:")
        for path in sorted(files):
            if path.parent == jobs:
                say(f"  {path.name:<20} {catalogue.parse_text(files[path], path.name)['description']}")
        say("A backup every night:  ocs jobs enable backup")
        say(f"Nobody is told of failures yet: {catalogue.DEFAULTS} says how.")
        away = "" if root == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
        say(f"Next:  {away}ocs up --detach && ocs jobs run hello --wait")

    answer({"project": str(root), "files": made}, people)


def _new_project(folder: Path) -> tuple[Path, Path]:
    """The folder of a project that is to be made, and that of its jobs."""
    from deployments import catalogue

    try:
        root = folder.expanduser().resolve()
        jobs = root / catalogue.JOBS
        is_there = jobs.exists() or (root / catalogue.SETTINGS).exists()
    except (OSError, RuntimeError) as failed:
        why = failed.strerror if isinstance(failed, OSError) else failed
        raise Refused(f"{folder} cannot be a project's folder: {why}.", hint="Name another folder.") from failed
    if is_there:
        raise Refused(f"{root} is a project already.", hint="Add a job to it with: ocs jobs add")
    return root, jobs


def _starter() -> list[tuple[str, str]]:
    """Names and texts of the first jobs. One works with ocs itself, and is told where that has its data."""
    told = f"env: {json.dumps({'OCS_HOME': str(settings.home())})}" if os.environ.get("OCS_HOME") else NOT_TOLD
    found = resources.files("ocs.cli").joinpath("starter").iterdir()
    texts = ((each.name, each.read_text(encoding="utf-8")) for each in found if each.name.endswith(".yaml"))
    return [(name, text.replace(NOT_TOLD, told)) for name, text in texts]


@app.command("job", epilog="Example:  ocs schema job > job.schema.json")
def schema_of_job() -> None:
    """The JSON Schema of a job document."""

    from ocs.spec import job_schema

    _show(job_schema())


@app.command("run", epilog="Example:  ocs schema run")
def schema_of_run() -> None:
    """The JSON Schema of a run as `--json` shows it."""
    _show(run_schema())


def _show(schema: dict[str, object]) -> None:
    """A schema is a JSON document in either form; `--json` wraps it like every answer."""
    print_json({"ok": True, "schema": schema} if Mode.json else schema)
