"""Every command speaks JSON when asked to, errors included, and its status agrees with what it says (row 110)."""

from __future__ import annotations

import shlex

import pytest

from tests.cli.command import Ocs
from tests.cli.test_help import LEAVES

STARTS_SOMETHING = {("ocs", "up"), ("ocs", "worker")}


@pytest.mark.parametrize("path", [path for path in LEAVES if path not in STARTS_SOMETHING], ids=" ".join)
def test_its_example_answers_in_one_json_document(ocs: Ocs, path: tuple[str, ...]) -> None:
    """In a project with one job and without a server: some succeed, some have to say why not."""
    ocs.write("nightly-report", "id: nightly-report\nschedule: '@daily'\nrun: echo\n")
    example = str(LEAVES[path].epilog).removeprefix("Example:").split("|")[0].split(">")[0]
    said = ocs("--json", *shlex.split(example)[1:])
    answer = said.json
    assert answer["ok"] is (said.status == 0)
    if not answer["ok"]:
        assert set(answer["error"]) == {"code", "message", "hint"}
        assert isinstance(answer["errors"], list)
    assert "Traceback" not in said.err


@pytest.mark.parametrize("path", [("ocs", "jobs"), ("ocs", "runs"), ("ocs", "jobs", "import"), ("ocs", "nonsense")])
def test_a_group_alone_and_no_command_are_wrong_usage_in_json(ocs: Ocs, path: tuple[str, ...]) -> None:
    said = ocs("--json", *path[1:])
    assert (said.status, said.json["error"]["code"]) == (2, "usage")


def test_a_value_that_is_none_of_those_possible_is_told_in_our_words(ocs: Ocs) -> None:
    said = ocs("--json", "runs", "list", "--status", "odd")
    message = said.json["error"]["message"]
    assert (said.status, said.json["error"]["code"]) == (2, "usage")
    assert message.startswith("Invalid value for '--status': 'odd' is not one of 'ok', 'error'")
