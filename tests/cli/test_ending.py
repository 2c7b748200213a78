"""How calls end: exit status, one JSON document, errors that say what to do, never a traceback."""

from __future__ import annotations

import os
import pty
import re
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command import OCS, Ocs

STYLE = re.compile(r"\x1b\[[0-9;]*m")
NEEDS_A_SERVER = [
    ("status",),
    ("deploy",),
    ("deploy", "--plan"),
    ("worker",),
    ("ui",),
    ("env",),
    ("jobs", "run", "hello"),
    ("jobs", "run", "hello", "--wait"),
    ("jobs", "cancel", "hello"),
]
WRONG_USAGE = [
    ("no-such-command",),
    ("jobs",),
    ("jobs", "lst"),
    ("jobs", "show"),
    ("jobs", "preview", "hello", "-n", "many"),
    ("jobs", "preview", "hello", "-n", "0"),
    ("runs", "list", "--status", "fine"),
    ("runs", "list", "--since", "yesterday"),
    ("up", "--port", "70000"),
    ("jobs", "add"),
    ("jobs", "add", "a", "--in", "soon", "--shell", "true"),
    ("jobs", "add", "a", "--env", "NAME", "--shell", "true"),
    ("jobs", "run", "hello", "--set", "timeout"),
    ("pools", "set", "", "2"),
    ("pools", "set", " ", "2"),
    ("pools", "set", "a\x07b", "2"),
    ("pools", "set", "x" * 129, "2"),
    ("--no-such-option",),
]
UNKNOWN = [
    ("jobs", "show", "nowhere"),
    ("jobs", "preview", "nowhere"),
    ("jobs", "enable", "nowhere"),
    ("jobs", "disable", "nowhere"),
    ("jobs", "remove", "nowhere"),
    ("runs", "list", "--job", "nowhere"),
    ("runs", "show", "00000000"),
    ("runs", "output", "00000000"),
    ("runs", "cancel", "00000000"),
    ("idem", "show", "00000000"),
    ("idem", "release", "00000000"),
    ("idem", "list", "--job", "nowhere"),
    ("approvals", "show", "nowhere"),
    ("approvals", "approve", "00000000"),
    ("approvals", "reject", "00000000"),
    ("approvals", "list", "--job", "nowhere"),
]


@pytest.fixture
def ocs(ocs: Ocs) -> Ocs:
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    return ocs


@pytest.mark.parametrize("arguments", NEEDS_A_SERVER, ids=" ".join)
def test_without_a_server_it_ends_with_3_and_says_how_to_start_one(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    said = ocs(*arguments)
    assert (said.status, said.out) == (3, "")
    assert "ocs up" in said.err
    assert "Traceback" not in said.err
    error = ocs.json(*arguments, status=3)["error"]
    assert error["code"] == "server_unreachable"


def test_a_server_that_does_not_answer_is_named(ocs: Ocs) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/api"
        said = ocs("status", PREFECT_API_URL=address)
    assert said.status == 3
    assert address in said.err


@pytest.mark.parametrize("arguments", WRONG_USAGE, ids=" ".join)
def test_wrong_usage_ends_with_2(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    said = ocs(*arguments)
    assert said.status == 2
    assert "Traceback" not in said.err
    error = ocs.json(*arguments, status=2)["error"]
    assert error["code"] == "usage"
    assert error["message"]
    assert not list((ocs.folder / "deployments" / "jobs").glob("a.yaml"))


@pytest.mark.parametrize("arguments", UNKNOWN, ids=" ".join)
def test_unknown_ids_are_errors_that_say_where_to_look(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    said = ocs(*arguments)
    assert (said.status, said.out) == (1, "")
    assert "ocs " in said.err
    assert ocs.json(*arguments, status=1)["error"]["code"] == "not_found"


def test_the_nearest_id_is_named(ocs: Ocs) -> None:
    said = ocs("jobs", "show", "helo")
    assert said.err == 'No job "helo". Nearest: hello.  See all: ocs jobs list\n'


def test_ids_may_be_shortened_while_they_are_unambiguous(ocs: Ocs) -> None:
    assert ocs.json("jobs", "preview", "he")["job"] == "hello"
    ocs.write("help", "id: help\nrun: echo help\n")
    error = ocs.json("jobs", "preview", "he", status=1)["error"]
    assert "hello, help" in error["message"]


@pytest.mark.parametrize(
    "arguments", [("--json", "jobs", "list"), ("jobs", "--json", "list"), ("jobs", "list", "--json")], ids=" ".join
)
def test_json_is_asked_for_before_or_after_the_command(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    assert [job["id"] for job in ocs(*arguments).json["jobs"]] == ["hello"]


def test_outside_of_a_project_it_says_how_to_make_one(outside: Ocs) -> None:
    said = outside("jobs", "list")
    assert said.status == 2
    assert "ocs init" in said.err
    assert outside("up", OCS_PROJECT=str(outside.folder)).status == 2


def test_another_project_can_be_named(ocs: Ocs, tmp_path: Path) -> None:
    elsewhere = Ocs(tmp_path, ocs.home, mother=ocs.mother)
    assert [job["id"] for job in elsewhere.json("--project", str(ocs.folder), "jobs", "list")["jobs"]] == ["hello"]
    assert elsewhere("jobs", "list", OCS_PROJECT=str(ocs.folder)).status == 0


@pytest.mark.parametrize(
    "arguments",
    [("jobs", "preview", "hello"), ("jobs", "show", "hello"), ("--help",), ("--json", "jobs", "list")],
    ids=" ".join,
)
def test_a_reader_that_has_seen_enough_is_no_error(ocs: Ocs, arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [OCS, *arguments], cwd=ocs.folder, env=ocs.environment(), stdout=subprocess.PIPE, stderr=-1
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("redirected", "status", "words"), [(">&-", 0, ""), (">/dev/full", 1, "No space left"), (">&- 2>&-", 0, "")]
)
@pytest.mark.parametrize("arguments", ["jobs list", "--json jobs list", "schema job", "--help"])
def test_output_that_goes_nowhere_is_no_bug(ocs: Ocs, arguments: str, redirected: str, status: int, words: str) -> None:
    command = f'"$OCS" {arguments} {redirected}'
    ended = subprocess.run(
        ["/bin/sh", "-c", command], cwd=ocs.folder, env=ocs.environment(OCS=str(OCS)), capture_output=True, check=False
    )
    said = ended.stderr.decode()
    assert ended.returncode == status, said
    assert words in said
    assert "Traceback" not in said
    assert "bug" not in said


def test_an_interrupt_while_it_is_still_loading_is_quiet(ocs: Ocs, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    said = ocs("jobs", "list", PYTHONPATH=str(tmp_path))
    assert (said.status, said.out, said.err) == (130, "", "")


def test_nothing_is_lost_in_a_terminal_without_utf_8(ocs: Ocs) -> None:
    ocs.write("umlaut", "id: umlaut\nname: Grüße\ndescription: →\nrun: echo ä\n")
    said = ocs("jobs", "show", "umlaut", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert said.status == 0
    assert "Gr??e" in said.out
    assert ocs("--help", PYTHONIOENCODING="ascii").status == 0


def on_a_terminal(ocs: Ocs, *arguments: str, **env: str) -> str:
    """What a terminal would get."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [OCS, *arguments], cwd=ocs.folder, env=ocs.environment(TERM="xterm", **env), stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # how Linux says that the other side has closed
                break
            if not piece:
                break
            seen += piece
        process.wait(30)
    os.close(ours)
    return seen.decode()


def test_colours_are_for_terminals_that_want_them(ocs: Ocs) -> None:
    assert "\x1b[" in on_a_terminal(ocs, "jobs", "show", "nowhere")
    assert "\x1b[3" not in on_a_terminal(ocs, "jobs", "show", "nowhere", NO_COLOR="1")
    assert "\x1b[" not in ocs("jobs", "show", "nowhere").err
    assert "\x1b[" not in ocs("jobs", "list").out


def test_tables_are_folded_to_narrow_terminals_and_not_in_pipes(ocs: Ocs) -> None:
    ocs.write("wide", f"id: wide\nschedule: {{rrule: 'FREQ=DAILY;BYHOUR={','.join(map(str, range(24)))}'}}\nrun: x\n")
    folded = on_a_terminal(ocs, "jobs", "list", COLUMNS="40")
    assert max(len(line) for line in STYLE.sub("", folded).splitlines()) <= 40
    assert "20,21,22,23" in ocs("jobs", "list").out


def test_an_unwritable_home_is_named(ocs: Ocs, tmp_path: Path) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("")
    for arguments in (("runs", "list"), ("up", "--detach", "--port", "0")):
        said = ocs(*arguments, OCS_HOME=str(blocker / "home"))
        assert said.status == 1
        assert "OCS_HOME" in said.err
        assert "Traceback" not in said.err


def test_a_store_that_cannot_be_reached_is_named(ocs: Ocs) -> None:
    said = ocs("runs", "list", OCS_STORE_URL="postgresql+asyncpg://nobody@127.0.0.1:1/none")
    assert said.status == 1
    assert "store" in said.err
    assert "Traceback" not in said.err


def test_a_store_of_a_newer_version_is_left_alone(ocs: Ocs) -> None:
    ocs("runs", "list")
    with closing(sqlite3.connect(ocs.home / "store.db")) as store, store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
    error = ocs.json("runs", "list", status=1)["error"]
    assert error["code"] == "store"
    assert "newer" in error["message"]


def test_a_store_that_is_no_database_is_named(ocs: Ocs) -> None:
    ocs.home.mkdir()
    (ocs.home / "store.db").write_text("my shopping list, which is long enough to be looked at\n" * 100)
    error = ocs.json("runs", "list", status=1)["error"]
    assert error["code"] == "store"
    assert "store.db" in error["hint"]


def test_an_address_of_the_store_that_is_none_is_named(ocs: Ocs) -> None:
    said = ocs("runs", "list", OCS_STORE_URL="not an address")
    assert said.status == 1
    assert "OCS_STORE_URL" in said.err
    assert "Traceback" not in said.err


def test_a_busy_port_is_named_with_who_has_it(ocs: Ocs) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        error = ocs.json("up", "--detach", "--port", port, status=1)["error"]
    assert port in error["message"]
    assert "--port 0" in error["hint"]


def test_another_address_needs_a_password(ocs: Ocs) -> None:
    assert "PREFECT_SERVER_API_AUTH_STRING" in ocs.json("up", "--host", "0.0.0.0", status=1)["error"]["hint"]


def test_a_broken_catalogue_is_told_before_anything_starts(ocs: Ocs) -> None:
    ocs.write("broken", "id: broken\nrun: [\n")
    assert ocs.json("up", "--detach", "--port", "0", status=1)["errors"][0]["line"]
    assert not (ocs.home / "up.json").exists()


def test_down_without_anything_running_says_so(ocs: Ocs) -> None:
    assert "Nothing is running" in ocs("down").out
    assert ocs.json("down")["ended"] is None


def test_without_a_home_folder_data_stays_where_it_is_told(ocs: Ocs) -> None:
    environment = {name: value for name, value in ocs.environment().items() if name != "HOME"}
    ended = subprocess.run([OCS, "runs", "list"], cwd=ocs.folder, env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
