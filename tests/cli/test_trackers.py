"""`ocs tasks`, `ocs team`, `ocs agents` as one types them: what they say, and what they refuse. No server is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import Ocs


@pytest.fixture
def ocs(tmp_path: Path) -> Ocs:
    return Ocs(tmp_path, tmp_path / "home")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["tasks", "create", "x", "-m", "a"], 2, "Who hears of its end? Give --to, --tell or --quiet."),
        (["tasks", "create", "x", "--quiet"], 2, "Name at least one member."),
        (["tasks", "create", "x", "-m", "a", "-m", "a", "--quiet"], 1, '"a" stands there twice.'),
        (["tasks", "create", "a\nb", "-m", "a", "--quiet"], 1, "The tracker has control characters"),
        (["tasks", "create", "x", "-m", "a", "--to", "a b"], 2, '--to: "a b" is no target'),
        (["tasks", "create", "x", "-m", "a", "--quiet", "--timeout", "soon"], 2, '--timeout "soon": write 15m or 2h'),
        (["tasks", "create", "x", "--team", "docs", "--quiet"], 1, 'There is no team "docs".'),
        (["tasks", "show", "x"], 1, 'There is no tracker "x".'),
        (["team", "show", "docs"], 1, 'There is no team "docs".'),
        (["agents", "show", "coder"], 1, 'There is no agent "coder" on record.'),
        (["agents", "set", "coder"], 2, "What is to be said of it? Give --name, --can or --to."),
        (["messages", "send", "x", "--overdue-to", "ops"], 2, "say by when: --ack-within 2h"),
        (["dispatch", "batch", "none.jsonl", "--quiet", "--then", "x"], 2, "belong to a tracker; name it"),
    ],
)
def test_what_is_wrong_with_what_was_typed(ocs: Ocs, arguments: list[str], status: int, said: str) -> None:
    answered = ocs(*arguments)
    assert (answered.status, answered.out) == (status, "")
    assert said in answered.err


def test_a_gate_of_a_team_is_passed_when_all_have_said_that_they_are_done(ocs: Ocs) -> None:
    ocs.json("team", "set", "docs", "-m", "writer", "-m", "ann")
    made = ocs.json("tasks", "create", "handbook", "--team", "docs", "--quiet")["tracker"]
    assert [(each["label"], each["status"]) for each in made["members"]] == [("ann", "pending"), ("writer", "pending")]
    assert ocs("tasks", "heartbeat", "handbook", "writer").out == "writer is running.\n"
    assert "handbook is open, 1 of 2 have ended." in ocs("tasks", "done", "handbook", "writer").out
    ended = ocs.json("tasks", "fail", "handbook", "ann", "--message", "Not yet.")["tracker"]
    assert (ended["status"], ended["gate"]) == ("failed", "failed")
    waited = ocs("tasks", "wait", "handbook")
    assert (waited.status, "Not yet." in waited.out) == (1, True)


def test_what_was_said_of_an_agent_stays_until_something_else_is(ocs: Ocs) -> None:
    ocs.json("agents", "set", "coder", "--can", "python", "--to", "ops")
    changed = ocs.json("agents", "set", "coder", "--to", "")["agent"]
    assert (changed["capabilities"], changed["to"], changed["status"]) == (["python"], [], "idle")
    assert [each["id"] for each in ocs.json("agents", "list", "--can", "python")["agents"]] == ["coder"]
    assert ocs.json("agents", "list", "--can", "cobol")["agents"] == []


@pytest.mark.parametrize(("words", "offered"), [("tasks show h", "handbook"), ("team show d", "docs")])
def test_a_shell_completes_what_the_store_knows(ocs: Ocs, words: str, offered: str) -> None:
    ocs.json("team", "set", "docs", "-m", "ann")
    ocs.json("tasks", "create", "handbook", "--team", "docs", "--quiet")
    said = ocs(_OCS_COMPLETE="complete_bash", COMP_WORDS=f"ocs {words}", COMP_CWORD="3")
    assert said.out.split() == [offered]
