"""Every command with what no person types: bytes that are no text, NUL, a hundred thousand characters, odd words.

All in one process and without a server: what is found out before one is asked, and what is said when there is none.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ocs.cli.main import main
from tests.cli.test_help import LEAVES

LONG = "a" * 100_000
HOSTILE = {
    "long": LONG,
    "long with slashes": "a/" * 50_000,
    "empty": "",
    "dots": "a" + ".a" * 50_000,
    "digits": "9" * 5_000,
    "control": "\x1b]0;x\x07\r\n\x7f",
    "wide": "\N{RIGHT-TO-LEFT OVERRIDE}\N{FAMILY}\N{COMBINING ACUTE ACCENT}" * 100,
    "markup": "[bold][/nothing]{x!r}%s%(x)s",
    "pattern": "%_\\'\"; drop table run; --",
    "flow": "{" * 5_000,
    "home": "~nobody/x",
    "input": "-",
}
NO_TEXT = {"bytes": os.fsdecode(b"\xff\xfe"), "NUL": "a\0b"}
STAYS = {("ocs", "up"), ("ocs", "worker"), ("ocs", "down"), ("ocs", "runs", "watch")}
"""They start and stop processes, or look on until they are ended, whatever they are called with."""
STATUSES = (0, 1, 2, 3)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project that one stands in, with a home of its own, and nobody listening."""
    folder = tmp_path / "project"
    (folder / "deployments" / "jobs").mkdir(parents=True)
    (folder / "prefect.yaml").write_text("name: project\n")
    (folder / "deployments" / "jobs" / "hello.yaml").write_text("id: hello\nrun: echo hello\n")
    for name in [name for name in os.environ if name.startswith(("OCS_", "PREFECT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OCS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EDITOR", "true")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00" * 1_000)))
    monkeypatch.chdir(folder)
    return folder


def parameters(path: tuple[str, ...]) -> list[Any]:
    return [each for each in LEAVES[path].params if each.name not in ("help", "json")]


def words(path: tuple[str, ...], hostile: str, at: Any) -> list[str]:
    """A call with something hostile for one of its parameters, and something sensible where another has to be there."""
    given: list[str] = []
    for each in parameters(path):
        is_argument = each.param_type_name == "argument"
        value = hostile if each is at else "hello" if each.required else None
        if value is not None and not getattr(each, "is_flag", False):
            given += [value] if is_argument else [each.opts[0], value]
    return [*path[1:], *given]


def takes_text(each: Any) -> bool:
    return not getattr(each, "is_flag", False)


PLACES = [(path, each) for path in LEAVES if path not in STAYS for each in parameters(path) if takes_text(each)]
OF_EACH = 4
"""So many hostile words are given to each parameter, another selection to the next: most are read by shared code."""


def called(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[object, Any]:
    """The command as it is called, in this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["ocs", *arguments])
        patched.setenv("OCS_PROJECT", str(Path.cwd()))  # --project sets it for the whole process
        with pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code, capsys.readouterr()


def said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What the call says; it ends with a status of ours, has found no bug in itself, and shows no traceback."""
    status, shown = called(arguments, capsys)
    both = shown.out + shown.err
    assert status in STATUSES
    assert "This is a bug" not in both, both[-2000:]
    assert "Traceback" not in both
    if "--json" in arguments:
        assert isinstance(json.loads(shown.out), dict)
    return both


def selection(number: int) -> list[str]:
    """What the parameter of that number is given: long words always, the others in turns."""
    others = [word for word in HOSTILE.values() if word != LONG]
    return [LONG, *(others[(number * OF_EACH + turn) % len(others)] for turn in range(OF_EACH))]


@pytest.mark.parametrize("number", range(len(PLACES)), ids=[f"{' '.join(path)} {each.name}" for path, each in PLACES])
def test_whatever_is_typed_is_answered(project: Path, capsys: pytest.CaptureFixture[str], number: int) -> None:
    path, each = PLACES[number]
    for hostile in selection(number):
        answer = said(words(path, hostile, each), capsys)
        assert len(answer) < 20_000
    said(["--json", *words(path, hostile, each)], capsys)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
@pytest.mark.parametrize("hostile", NO_TEXT.values(), ids=NO_TEXT)
def test_what_is_no_text_is_refused_by_every_command(
    project: Path, capsys: pytest.CaptureFixture[str], path: tuple[str, ...], hostile: str
) -> None:
    own = [*path[1:]]
    for arguments in ([*own, hostile], ["--json", *own, "--unknown", hostile], ["--project", hostile, *own]):
        status, shown = called(arguments, capsys)
        assert status == 2
        assert "is not UTF-8 text" in shown.out + shown.err
