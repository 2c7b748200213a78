"""Messages as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ocs.cli.render.output import say, table
from ocs.rules.messages import Status, has_several_readers
from ocs.rules.wording import SHORT, first_line, local

if TYPE_CHECKING:
    pass


def show_messages(views: Sequence[dict[str, Any]]) -> None:
    """A table for people."""
    rows = [
        (
            view["id"][:SHORT],
            view["from"],
            view["to"],
            view["kind"],
            view["priority"],
            local(view["created_at"]),
            view["status"],
            _gist(view),
        )
        for view in views
    ]
    headings = ("MESSAGE", "FROM", "TO", "KIND", "PRIORITY", "SENT", "STATUS", "")
    table(headings, rows, spare=("PRIORITY", "SENT", "KIND"))


def show_message(view: dict[str, Any]) -> None:
    """One message for people."""
    failed = f"{view['failed_turns']} turns that were shown it" if view["failed_turns"] else ""
    rows = [
        ("message", view["id"]),
        ("from", view["from"]),
        ("to", view["to"]),
        ("kind", view["kind"]),
        ("priority", view["priority"]),
        ("subject", view["subject"]),
        ("owner", view["owner"]),
        ("answers", view["reply_to"]),
        ("sent", local(view["created_at"])),
        ("expires", local(view["expires_at"])),
        ("status", "" if has_several_readers(view["to"]) and view["status"] == Status.PENDING else view["status"]),
        ("seen by", ", ".join(view["seen_by"]) if has_several_readers(view["to"]) else ""),
        ("failed", failed),
        ("ack by", local(view["ack_by"])),
        ("waits until", local(view["not_before"])),
        ("metadata", view["metadata"] or ""),
    ]
    table(("", ""), [row for row in rows if row[1]])
    say(f"\n{view['body']}")


def show_receipts(views: Sequence[dict[str, Any]]) -> None:
    """What became of a message, for people."""
    rows = [
        (local(view["at"]), view["event"], view["reader"], (view["run"] or "")[:SHORT] or view["actor"], view["detail"])
        for view in views
    ]
    table(("AT", "EVENT", "READER", "RUN / BY", ""), rows)


def _gist(view: dict[str, Any]) -> str:
    said = first_line(view["subject"] or view["body"], 60)
    if view["not_before"]:
        return f"{said} (turns failed; again at {local(view['not_before'])})"
    return said
