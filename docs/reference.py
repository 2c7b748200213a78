"""Writes docs/job.md, docs/cli.md and the manual page docs/ocs.1 from the code. A test holds the files against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ocs.cli.group import load_all
from ocs.cli.main import command_line as ocs
from ocs.spec import job_schema

DOCS = Path(__file__).parent
GENERATED = "<!-- Generated from the code by `make docs`; change it there. -->\n"
EXAMPLE = """\
```yaml
id: nightly-report
description: Reports of the day, by mail.
schedule: {cron: "0 2 * * mon-fri", timezone: Europe/Vienna, jitter: 2m}
run:
  shell:
    command: ./report.sh
    cwd: ~/work
    secrets: {PGPASSWORD: pg-report}
  timeout: 20m
retry: {max: 2, delay: 1m}
limits: {overlap: queue, pool: database}
```
"""


MANUAL_TABLES: Mapping[str, Mapping[str, str]] = {
    "EXIT STATUS": {
        "0": "Done.",
        "1": "Refused or failed; also: the run that was waited for failed.",
        "2": "Wrong usage.",
        "3": "The server cannot be reached.",
        "130": "Interrupted.",
    },
    "ENVIRONMENT": {
        "OCS_HOME": "Data, logs and large outputs; by default the platform's user data folder.",
        "OCS_PROJECT": "The project's folder, instead of the nearest one upwards.",
        "OCS_STORE_URL": "The scheduler's own records: postgresql+asyncpg://... instead of a SQLite file.",
        "PREFECT_API_URL": "An existing Prefect server instead of the one of ocs up.",
        "OCS_PING_URL": "An address that is called while all is well.",
    },
    "FILES": {
        "prefect.yaml": "Marks a project's folder; made from the job files.",
        "deployments/jobs/*.yaml": "The jobs, one a file.",
        "deployments/defaults.yaml": "What all jobs of the project say.",
    },
}


def job_document() -> str:
    """Every key of the job document: what it is, its default, what it means."""
    schema = job_schema()
    groups = schema["$defs"]
    parts = [
        f"# The job document\n\n{GENERATED}",
        "A job is one YAML file in `deployments/jobs`, called like its `id`. `ocs jobs validate` checks all of them\n"
        "and names every problem with its line; `ocs schema job` prints the JSON Schema for editors. Durations are\n"
        "written `90s`, `15m`, `1.5h` or `2d`. Groups that are not built yet are refused at rollout, never ignored.\n",
        EXAMPLE,
        _table("The document", schema, groups),
    ]
    for path, group in _groups(schema, groups):
        about = f"{group['description']}\n\n" if "description" in group else ""
        parts.append(_table(f"`{path}`", group, groups, about))
    return "\n".join(parts)


def command_line() -> str:
    """Every command: what it does, its arguments and options, an example."""
    command = load_all(ocs())
    parts = [
        f"# The command line\n\n{GENERATED}",
        "Every command takes `--json`, before or after it, and then prints exactly one JSON document:\n"
        '`{"ok": true, ...}` or `{"ok": false, "error": {"code", "message", "hint"}, "errors": [...]}`.\n\n'
        "Exit status: 0 done; 1 refused or failed (also: the run that was waited for failed); 2 wrong usage; 3 the\n"
        "server cannot be reached; 130 interrupted. Ids may be shortened while they are unambiguous.\n",
    ]
    for path, each in _commands(command, ("ocs",)):
        parts.append(_command(path, each))
    return "\n".join(parts)


def manual() -> str:
    """The manual page: all of it in one, as `man ocs` shows it and one searches it."""
    command = load_all(ocs())
    lines = [
        '.\\" Generated from the code by `make docs`; change it there.',
        ".TH OCS 1",
        ".SH NAME",
        r"ocs \- scheduled shell and agent jobs on Prefect: nothing runs twice, nothing is lost",
        ".SH SYNOPSIS",
        r".B ocs",
        r"[\fB\-\-project\fR \fIFOLDER\fR] [\fB\-\-json\fR] \fICOMMAND\fR ...",
        ".SH DESCRIPTION",
        _roff(
            "Jobs are YAML files in deployments/jobs of a project. ocs rolls them out to Prefect, runs a server and a"
            " worker of its own, and shows what ran and why. Without a command it says where one stands."
        ),
        ".SH COMMANDS",
    ]
    for path, each in _commands(command, ("ocs",)):
        lines += [f".SS {_roff(_synopsis(path, each))}", _roff(" ".join((each.help or "").split()))]
        for written, about in (*_arguments(each), *_options(each)):
            lines += [".TP", rf"\fB{_roff(written)}\fR", _roff(about)]
        lines += [".PP", "Example:", ".PP", rf".RS 4{chr(10)}{_roff(_example(each))}{chr(10)}.RE"]
    for title, rows in MANUAL_TABLES.items():
        lines.append(f".SH {title}")
        for name, about in rows.items():
            lines += [".TP", rf"\fB{_roff(name)}\fR", _roff(about)]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """Plain text as roff takes it; a line that begins with a dot would be a request."""
    plain = text.replace("\\", r"\e").replace("-", r"\-").replace("`", "")
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in plain.splitlines())


def _groups(node: Mapping[str, Any], groups: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in node["properties"].items():
        here = f"{path}.{key}" if path else key
        if name := _reference(value):
            group = groups[name]
            if "properties" in group:
                yield here, group
                yield from _groups(group, groups, here)


def _reference(value: Mapping[str, Any]) -> str | None:
    """The group that a value is, or holds a list of."""
    choices = [value, value.get("items", {}), *value.get("anyOf", [])]
    choices += [choice.get("items", {}) for choice in choices]
    found = (choice["$ref"].rpartition("/")[2] for choice in choices if "$ref" in choice)
    return next((name for name in found if name != "JsonValue"), None)


def _table(title: str, group: Mapping[str, Any], groups: Mapping[str, Any], about: str = "") -> str:
    rows = [
        f"| `{key}` | {_kind(value, groups)} | {_default(key, value, group)} | {value.get('description', '')} |"
        for key, value in group["properties"].items()
    ]
    return f"## {title}\n\n{about}| Key | Is | Default | Meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _kind(value: Mapping[str, Any], groups: Mapping[str, Any]) -> str:
    if "anyOf" in value:
        kinds = [_kind(choice, groups) for choice in value["anyOf"] if choice.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return "group" if "properties" in groups[name] else "anything"
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}), groups)}"
    kind = str(value.get("type", "anything"))
    if "pattern" in value and value.get("examples"):
        return f"{kind} like `{value['examples'][0]}`"
    bounds = [
        f"≥ {value['minimum']}" if "minimum" in value else "",
        f"≤ {value['maximum']}" if "maximum" in value else "",
    ]
    return " ".join([{"object": "keys and values"}.get(kind, kind), *filter(None, bounds)])


def _default(key: str, value: Mapping[str, Any], group: Mapping[str, Any]) -> str:
    if key in group.get("required", ()):
        return "**required**"
    default = value.get("default")
    if default is None or default == {}:
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    inner = getattr(command, "commands", {})
    if not inner or (command.callback is not None and len(path) > 1):
        yield path, command
    for name in inner:
        yield from _commands(inner[name], (*path, name))


def _command(path: tuple[str, ...], command: Any) -> str:
    about = " ".join((command.help or "").split())
    rows = [f"- `{name}`: {said}" for name, said in _arguments(command)]
    rows += [f"- `{', '.join(each.opts)}`{_default_of(each)}: {each.help}" for each in _shown(command)]
    listed = "\n".join(rows) + "\n\n" if rows else ""
    synopsis, example = _synopsis(path, command), _example(command)
    return f"## {' '.join(path)}\n\n{about}\n\n`{synopsis}`\n\n{listed}```console\n$ {example}\n```\n"


def _synopsis(path: tuple[str, ...], command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    words = [f"[{each.name.upper()}]" if not each.required else each.name.upper() for each in arguments]
    takes_options = any(each.param_type_name == "option" and not each.hidden for each in command.params)
    return " ".join([*path, *words, *(["[OPTIONS]"] if takes_options else [])])


def _example(command: Any) -> str:
    return str(command.epilog).removeprefix("Example:").strip()


def _arguments(command: Any) -> list[tuple[str, str]]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    return [(each.name.upper(), each.help) for each in arguments]


def _options(command: Any) -> list[tuple[str, str]]:
    return [(", ".join(each.opts), f"{each.help}{_default_of(each)}") for each in _shown(command)]


def _shown(command: Any) -> list[Any]:
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    return [each for each in options if each.name != "help"]


def _default_of(option: Any) -> str:
    if option.is_flag:
        return ""
    return "" if option.default in (None, (), []) else f" (by default {option.default})"


def main() -> None:
    """Write all of them."""
    (DOCS / "job.md").write_text(job_document(), encoding="utf-8")
    (DOCS / "cli.md").write_text(command_line(), encoding="utf-8")
    (DOCS / "ocs.1").write_text(manual(), encoding="utf-8")


if __name__ == "__main__":
    main()
