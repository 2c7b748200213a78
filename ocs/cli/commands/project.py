"""`ocs init` and `ocs schema`: starting a project, and the JSON Schema for editors."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ocs.cli.importing import local_zone
from ocs.cli.render.output import Mode, answer, print_json, say
from ocs.cli.render.views import run_schema
from ocs.errors import Refused
from ocs.files import READABLE, make_folder, open_file
from ocs.rules.wording import count_of

DEFAULTS = """\
# What every job of this project says unless its own file says otherwise: timezone, deliver, retry, limits, cwd.
# What a job takes from here is shown by:  ocs jobs show hello
timezone: {zone}

# Nobody is told of failures yet. Make a target, and take the # away:
#   ocs targets add ops --to telegram:12345       (or --webhook https://..., --apprise mailto://...)
# deliver: {{to: ops, when: failure}}
"""
IGNORE = "# Data of the embedded server when OCS_HOME points here\n/.ocs/\n"

SCHEMA = Path("deployments") / "job.schema.json"
"""What the first line of each job file names, for editors."""
BACKUP = "backup"
TO_TRY = "hello"
"""A job that runs by hand and needs nothing: no gateway, no yes of a person."""


class Template(StrEnum):
    """What a project can begin with."""

    SHELL = "shell"
    CHAIN = "chain"
    AGENT = "agent"
    APPROVAL = "approval"
    BACKUP = "backup"


TEMPLATES: Mapping[Template, tuple[str, ...]] = {
    Template.SHELL: ("hello",),
    Template.CHAIN: ("hello", "disk-alarm", "tell-somebody"),
    Template.AGENT: ("morning-brief",),
    Template.APPROVAL: ("publish",),
    Template.BACKUP: (BACKUP,),
}
"""The jobs that each brings, by their names in `ocs/cli/starter`."""
DEFAULT_TEMPLATES = (Template.CHAIN, Template.BACKUP)

app = typer.Typer()


@app.command(epilog="Example:  ocs init my-jobs --template approval")
def init(
    folder: Annotated[Path, typer.Argument(help="Where to make it.")] = Path(),
    template: Annotated[
        list[Template] | None, typer.Option("--template", help="Begin with jobs of this kind instead. Repeatable.")
    ] = None,
) -> None:
    """Make a new project: a folder with prefect.yaml, commented jobs to learn from, and one for backups."""
    from deployments import catalogue, prefect_yaml, yaml_text

    root, jobs = _new_project(folder)
    starters = {jobs / f"{name}.yaml": _starter(name) for name in _names(template or DEFAULT_TEMPLATES)}
    files = {
        **starters,
        root / SCHEMA: schema_text(),
        root / catalogue.DEFAULTS: DEFAULTS.format(zone=local_zone()),
        root / catalogue.SETTINGS: yaml_text.dump({"name": root.name}),
    }
    if not os.path.lexists(root / ".gitignore"):
        files[root / ".gitignore"] = IGNORE
    _refuse_what_is_there(files)
    try:
        make_folder(jobs, READABLE)
        for path, text in files.items():
            with open_file(path, "x", READABLE, encoding="utf-8") as file:
                file.write(text)
    except OSError as failed:
        raise Refused(f"{root} cannot be written to: {failed.strerror}.", hint="Name another folder.") from failed
    prefect_yaml.regenerate(catalogue.read(root))
    made = sorted(str(path.relative_to(root)) for path in files)
    documents = [catalogue.parse_text(text, path.name) for path, text in sorted(starters.items())]
    ids = {document["id"] for document in documents}

    def people() -> None:
        say(f"Made a project in {root} with {count_of(len(documents), 'job')} to begin with:")
        for document in documents:
            say(f"  {document['id'] + '.yaml':<20} {document['description']}")
        if BACKUP in ids:
            say(f"A backup every night:  ocs jobs enable {BACKUP}")
        say(f"Nobody is told of failures yet: {catalogue.DEFAULTS} says how.")
        away = "" if root == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
        first = f" && ocs jobs run {TO_TRY} --wait" if TO_TRY in ids else ""
        say(f"Next:  {away}ocs up --detach{first}")

    answer({"project": str(root), "files": made}, people)


def _refuse_what_is_there(files: Iterable[Path]) -> None:
    """A link counts, too, wherever it leads: what is behind it belongs to somebody."""
    there = [path for path in files if os.path.lexists(path)]
    if there:
        raise Refused(
            f"{', '.join(map(str, there))} is there already; nothing was written.",
            hint="Take it away, or name another folder.",
        )


def schema_text() -> str:
    """What a project's own copy of the schema of a job says."""
    from ocs.spec import job_schema

    return json.dumps(job_schema(), indent=2) + "\n"


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


def _names(templates: Sequence[Template]) -> Iterator[str]:
    """Of each job that they bring, once."""
    return iter(dict.fromkeys(name for template in templates for name in TEMPLATES[template]))


def _starter(name: str) -> str:
    return resources.files("ocs.cli").joinpath("starter", f"{name}.yaml").read_text(encoding="utf-8")


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
