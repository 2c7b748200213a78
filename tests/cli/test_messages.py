"""`ocs messages`: sending, listing, reading; what cannot be sent changes nothing. No server is needed for any of it."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from typing import Any

import pytest

from tests.cli.command import OCS, PATIENCE, Ocs

KEYS = {
    "id",
    "from",
    "to",
    "kind",
    "priority",
    "subject",
    "body",
    "owner",
    "metadata",
    "reply_to",
    "created_at",
    "expires_at",
    "status",
    "delivered_at",
    "read_at",
    "ack_at",
    "ack_by",
    "failed_turns",
    "not_before",
    "seen_by",
}


def send(ocs: Ocs, *arguments: str) -> dict[str, Any]:
    return ocs.json("messages", "send", *arguments)["message"]


def bodies(ocs: Ocs, *arguments: str) -> list[str]:
    return [message["body"] for message in ocs.json("messages", *arguments)["messages"]]


def test_a_message_from_sending_to_its_last_receipt(outside: Ocs) -> None:
    """Acceptance row 89, in a folder that is no project."""
    plain = send(outside, "Hello.")
    assert set(plain) == KEYS
    assert (plain["to"], plain["kind"], plain["priority"], plain["status"]) == ("main", "text", "normal", "pending")
    whole = send(
        outside,
        *("--body", "Freeze until Monday.", "--from", "ann", "--to", "research", "--kind", "decision"),
        *("--subject", "Freeze", "--priority", "high", "--owner", "bob", "--expires", "2h"),
        *("--metadata", '{"ticket": 42}', "--reply-to", plain["id"][:8]),
    )
    assert (whole["from"], whole["to"], whole["owner"], whole["subject"]) == ("ann", "research", "bob", "Freeze")
    assert (whole["metadata"], whole["reply_to"], whole["priority"]) == ({"ticket": 42}, plain["id"], "high")
    assert bodies(outside, "inbox", "research") == bodies(outside, "outbox", "ann") == ["Freeze until Monday."]
    assert bodies(outside, "thread", plain["id"]) == ["Hello.", "Freeze until Monday."]
    assert outside.json("messages", "unread", "research") == {"ok": True, "agent": "research", "unread": 1}

    acked = outside.json("messages", "ack", whole["id"][:8], "--by", "bob", "--detail", "agreed")["message"]
    assert (acked["status"], acked["ack_at"] is not None) == ("read", True)
    read = outside.json("messages", "read", plain["id"])["message"]
    assert (read["status"], read["ack_at"]) == ("read", None)
    assert bodies(outside, "inbox", "research") == []
    assert bodies(outside, "inbox", "research", "--all") == ["Freeze until Monday."]
    (receipt,) = outside.json("messages", "receipts", whole["id"])["receipts"]
    assert (receipt["event"], receipt["reader"], receipt["actor"], receipt["detail"]) == (
        "ack",
        "research",
        "bob",
        "agreed",
    )
    shown = outside("messages", "show", whole["id"][:8]).out
    for part in ("Freeze until Monday.", "bob", "agreed", "ticket", plain["id"]):
        assert part in shown


def test_a_broadcast_is_everybody_s(outside: Ocs) -> None:
    """Acceptance row 91, W32."""
    sent = send(outside, "For all.", "--to", "broadcast")
    assert sent["expires_at"] is not None
    refused = outside.json("messages", "ack", sent["id"], status=1)["error"]
    assert "--by" in refused["hint"]
    outside.json("messages", "ack", sent["id"], "--by", "main")
    assert outside.json("messages", "readall", "ann")["changes"] == 1
    assert bodies(outside, "inbox", "main") == bodies(outside, "inbox", "ann") == []
    (waits,) = outside.json("messages", "inbox", "research")["messages"]
    assert (waits["status"], waits["seen_by"]) == ("pending", ["ann", "main"])
    assert "everyone" in outside("messages", "send", "More.", "--to", "broadcast").out


def kept(ocs: Ocs) -> int:
    """How many messages are in the store, if there is one."""
    if not (store := ocs.home / "store.db").exists():
        return 0
    with closing(sqlite3.connect(store)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM message").fetchone()
    return count


@pytest.mark.parametrize(
    ("arguments", "stdin", "status", "said"),
    [
        ((), "", 2, "Give the message"),
        (("a", "--body", "b"), "", 2, "Give the message"),
        (("a", "--kind", "gossip"), "", 2, "gossip"),
        (("a", "--priority", "9"), "", 2, "9"),
        (("a", "--expires", "soon"), "", 2, "--expires"),
        (("a", "--expires", "2020-01-01T00:00"), "", 1, "expired already"),
        (("a", "--metadata", "{not json"), "", 1, "not JSON"),
        (("a", "--metadata", "[]"), "", 1, "no object"),
        (("a", "--reply-to", "ffff0000"), "", 1, "No message begins"),
        (("a", "--to", ""), "", 1, "recipient is empty"),
        (("a", "--from", "two\nlines"), "", 1, "one line"),
        (("",), "", 1, "is empty"),
        (("-",), "", 1, "is empty"),
        (("-",), "before\0after", 1, "NUL"),
        (("-",), "x" * 10_000_000, 1, "10,000,000 bytes; at most 65,536"),
    ],
)
def test_what_cannot_be_sent_is_told_and_nothing_is_kept(
    outside: Ocs, arguments: tuple[str, ...], stdin: str, status: int, said: str
) -> None:
    answer = outside("--json", "messages", "send", *arguments, stdin=stdin)
    assert (answer.status, answer.err) == (status, "")
    assert said in answer.json["error"]["message"]
    assert kept(outside) == 0


def test_what_is_no_text_is_refused(outside: Ocs) -> None:
    ended = subprocess.run(
        [OCS, "messages", "send", "-"],
        cwd=outside.folder,
        env=outside.environment(),
        input=b"\xff\xfe",
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (ended.returncode, b"not UTF-8" in ended.stderr) == (1, True)


def test_no_terminal_s_control_character_is_kept_or_shown(outside: Ocs) -> None:
    evil = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x9b2J\rover\nnext"
    said = outside("messages", "send", "-", "--subject", "\x1b[2Jsubject\x07", stdin=evil)
    (sent,) = outside.json("messages", "inbox", "main")["messages"]
    assert (sent["subject"], sent["body"]) == ("subject", "over\nnext")  # as a terminal shows it
    shown = said.out + outside("messages", "inbox", "main").out + outside("messages", "show", sent["id"]).out
    assert not {*map(chr, (*range(9), *range(11, 32), *range(127, 160)))} & {*shown}


def test_lists_are_readable_and_say_so_when_they_are_empty(outside: Ocs) -> None:
    assert outside("messages", "inbox", "main").out == "Nothing waits for main.\n"
    assert "ann has sent nothing" in outside("messages", "outbox", "ann").out
    sent = send(outside, "The disk of db2 is full.", "--kind", "fact", "--from", "ann")
    for list_of in (("inbox", "main"), ("outbox", "ann"), ("thread", sent["id"])):
        said = outside("messages", *list_of).out
        for part in (sent["id"][:8], "ann", "fact", "pending", "The disk of db2 is full."):
            assert part in said
    assert "Nobody has seen it" in outside("messages", "receipts", sent["id"]).out
    assert outside("messages", "show", "zz").status == 1
