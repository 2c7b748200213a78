"""What only reads files is quick: it imports neither Prefect nor the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import Ocs

HEAVY = ("prefect", "ocs.server", "ocs.worker", "flows", "tasks")
STORE = ("sqlmodel", "sqlalchemy")
PROBE = """
import json, sys
sys.argv = ["ocs", *json.loads(sys.argv[1])]
from ocs.cli import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported(ocs: Ocs, *arguments: str, **env: str) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(arguments)],
        cwd=ocs.folder,
        env=ocs.environment(**env),
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(ended.stderr.splitlines()[-1]))


DOCUMENTS = ("ocs.spec.job", "ocs.spec.run", "ocs.spec.schedule", "deployments", "ruamel.yaml")
SLOW = (*HEAVY, *STORE, *DOCUMENTS, "httpx", "asyncio")
ALL_COMMANDS = """
import json, sys
from ocs.cli.group import load_all
from ocs.cli.main import command_line
load_all(command_line())
print(json.dumps(sorted(sys.modules)))
"""


def test_the_list_of_commands_imports_none_of_them(ocs: Ocs) -> None:
    modules = imported(ocs, "--help")
    assert not modules & {*SLOW, "pydantic"}
    assert not [module for module in modules if module.startswith(("ocs.cli.commands", "ocs.cli.doctor"))]


def test_the_help_of_no_command_needs_what_it_works_with() -> None:
    ended = subprocess.run([sys.executable, "-c", ALL_COMMANDS], capture_output=True, text=True, check=True)
    assert not {*json.loads(ended.stdout)} & set(SLOW)


def test_a_command_is_imported_without_the_others(ocs: Ocs) -> None:
    modules = imported(ocs, "pools", "list", "--help")
    assert {module for module in modules if module.startswith("ocs.cli.commands.")} == {"ocs.cli.commands.pools"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("jobs", "add", "--help"),
        ("jobs", "validate"),
        ("jobs", "preview", "hello"),
        ("schema", "job"),
        ("schema", "run"),
        ("init", "other"),
        ("jobs", "list"),
    ],
    ids=" ".join,
)
def test_it_needs_neither_prefect_nor_the_store(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    ocs.write("hello", 'id: hello\nschedule: "0 3 * * *"\nrun: echo hello\n')
    assert not imported(ocs, *arguments) & {*HEAVY, *STORE}


def test_the_list_reads_a_store_that_is_there_without_prefect(ocs: Ocs) -> None:
    ocs("runs", "list")
    modules = imported(ocs, "jobs", "list")
    assert "sqlmodel" in modules
    assert not modules & set(HEAVY)


def test_an_installed_package_is_imported_when_a_job_uses_it_and_only_to_read_it(ocs: Ocs, extension: Path) -> None:
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    for arguments in (("--help",), ("jobs", "validate"), ("jobs", "list")):
        assert "openclaw_http" not in imported(ocs, *arguments, PYTHONPATH=str(extension))
    ocs.write("ask", "id: ask\nrun: {http: {url: https://example.org}}\n")
    modules = imported(ocs, "jobs", "validate", PYTHONPATH=str(extension))
    assert "openclaw_http.strategy" in modules
    assert not modules & {"openclaw_http.request", *HEAVY, *STORE}
