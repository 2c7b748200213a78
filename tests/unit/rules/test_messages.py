"""Messages: what is kept of one, how it stands, when it steps aside, how a prompt tells it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from, text

from ocs.errors import Refused
from ocs.rules.messages import (
    BROADCAST,
    BROADCAST_WAITS,
    EXCERPT,
    LONGEST_BODY,
    PATIENT_UNTIL,
    STEPS_ASIDE,
    STEPS_ASIDE_AT_MOST,
    Draft,
    Event,
    InboxMessage,
    Kind,
    Status,
    checked,
    metadata_of,
    shown_again_at,
    status_of,
    told,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DRAFT = Draft("ann", "main", "Freeze until Monday.")
LATER, EARLIER = NOW + timedelta(seconds=1), NOW - timedelta(seconds=1)


def letter(**fields: Any) -> InboxMessage:
    message = InboxMessage(UUID(int=0x3F2A9C1D << 96), "ann", "main", Kind.TEXT, "", "Hello.")
    return replace(message, **fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sender": " "}, "sender is empty"),
        ({"recipient": ""}, "recipient is empty"),
        ({"recipient": "two\nlines"}, "more than one line"),
        ({"sender": "bell\x07"}, "control characters"),
        ({"owner": "x" * 129}, "at most 128"),
        ({"subject": "x" * 201}, "at most 200"),
        ({"body": ""}, "is empty"),
        ({"body": " \n\t"}, "is empty"),
        ({"body": "\x1b[31m\x1b[0m"}, "is empty"),
        ({"body": "a\0b"}, "NUL"),
        ({"body": "x" * (LONGEST_BODY + 1)}, "65,537 bytes; at most 65,536"),
        ({"body": "ä" * 10_000_000}, "20,000,000 bytes"),
        ({"expires_at": NOW}, "expired already"),
        ({"expires_at": EARLIER}, "expired already"),
    ],
)
def test_what_cannot_be_kept_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        checked(replace(DRAFT, **fields), NOW)


def test_what_is_kept_is_plain_text() -> None:
    kept = checked(replace(DRAFT, subject="db2:\n\x1b[1mfull\x1b[0m", body="\x1b[31mred\x1b[0m\r\nand \x07more\n"), NOW)
    assert (kept.subject, kept.body) == ("db2: full", "red\nand more")


@given(text())
def test_no_control_character_of_a_body_is_kept(said: str) -> None:
    try:
        kept = checked(replace(DRAFT, body=said), NOW)
    except Refused:
        return
    assert all(character in "\n\t" or ord(character) not in {*range(32), *range(127, 160)} for character in kept.body)


def test_only_a_broadcast_is_given_an_end() -> None:
    """It has readers to come, so nothing else would ever end it."""
    assert checked(DRAFT, NOW).expires_at is None
    to_all = replace(DRAFT, recipient=BROADCAST)
    assert checked(to_all, NOW).expires_at == NOW + BROADCAST_WAITS
    assert checked(replace(to_all, expires_at=LATER), NOW).expires_at == LATER


@pytest.mark.parametrize(
    "given",
    [
        "",
        "{",
        "[1]",
        "null",
        '"text"',
        "{'single': 1}",
        '{"x": NaN}',
        '{"x": 1e999}',
        "[" * 10_000,
        '{"x": "' + "y" * 20_000 + '"}',
    ],
)
def test_metadata_is_a_json_object(given: str) -> None:
    with pytest.raises(Refused, match="metadata"):
        metadata_of(given)
    assert metadata_of('{"ticket": 42, "tags": ["a"]}') == {"ticket": 42, "tags": ["a"]}


@pytest.mark.parametrize(
    ("events", "expires_at", "status"),
    [
        ((), None, Status.PENDING),
        ((), LATER, Status.PENDING),
        ((), NOW, Status.EXPIRED),
        ((Event.ATTEMPT, Event.ERROR), None, Status.PENDING),
        ((Event.ERROR,), EARLIER, Status.EXPIRED),
        ((Event.ERROR, Event.DELIVERED), None, Status.DELIVERED),
        ((Event.DELIVERED,), EARLIER, Status.DELIVERED),
        ((Event.DELIVERED, Event.READ), None, Status.READ),
        ((Event.ACK,), EARLIER, Status.READ),
    ],
)
def test_how_it_stands_follows_from_its_receipts(
    events: tuple[Event, ...], expires_at: datetime | None, status: Status
) -> None:
    """Acceptance rows 89 and 90: expired from the very instant on."""
    assert status_of(events, expires_at, NOW) is status


@given(lists(sampled_from(Event)), sampled_from([None, EARLIER, NOW, LATER]))
def test_only_a_turn_that_ended_well_a_reader_or_the_time_takes_it_away(
    events: list[Event], expires_at: datetime | None
) -> None:
    waits = status_of(events, expires_at, NOW) is Status.PENDING
    seen = {Event.DELIVERED, Event.READ, Event.ACK} & set(events)
    assert waits == (not seen and expires_at in (None, LATER))


@pytest.mark.parametrize(
    ("failed_turns", "pause"),
    [(0, None), (1, None), (2, None), (3, 10), (4, 20), (5, 40), (10, 1280), (11, 1440), (500, 1440)],
)
def test_a_message_on_which_turns_fail_steps_aside_for_longer_and_longer(failed_turns: int, pause: int | None) -> None:
    """W50: it cannot fail every turn for ever."""
    expected = NOW + timedelta(minutes=pause) if pause else None
    assert shown_again_at(failed_turns, NOW) == expected


@given(integers(PATIENT_UNTIL, 10_000))
def test_it_always_comes_back_within_a_day(failed_turns: int) -> None:
    again = shown_again_at(failed_turns, NOW)
    assert again is not None
    assert STEPS_ASIDE <= again - NOW <= STEPS_ASIDE_AT_MOST


@pytest.mark.parametrize(
    ("fields", "lines"),
    [
        ({}, ["ann | text | (no subject)", "Hello."]),
        ({"subject": "Greeting"}, ["ann | text | Greeting", "Hello."]),
        ({"kind": Kind.STATUS, "owner": "bob"}, ["ann | status | (no subject)", "Hello."]),
        ({"kind": Kind.TASK}, ["ann | task | (no subject)", "[task]", "Hello."]),
        ({"kind": Kind.DECISION, "owner": "bob"}, ["ann | decision | (no subject)", "[decision] owner: bob", "Hello."]),
    ],
)
def test_how_a_message_is_told(fields: dict[str, Any], lines: list[str]) -> None:
    assert told(letter(**fields)).split("\n") == lines


@pytest.mark.parametrize("kind", Kind)
def test_some_kinds_are_labelled(kind: Kind) -> None:
    plain = kind in (Kind.TEXT, Kind.RESULT, Kind.STATUS, Kind.SYSTEM, Kind.SPAWN)
    assert (f"[{kind}]" in told(letter(kind=kind))) is not plain


def test_a_long_body_is_cut_and_says_where_the_rest_is() -> None:
    """Acceptance row 61."""
    assert told(letter(body="x" * EXCERPT)).endswith("x" * EXCERPT)
    cut = told(letter(body="x" * EXCERPT + "y" * 1234))
    assert cut.endswith("x" * EXCERPT + "\n[... 1,234 more characters: ocs messages show 3f2a9c1d]")
    assert "y" * 2 not in cut
