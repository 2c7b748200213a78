"""How moments, spans and long texts are written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis.strategies import integers, text, timezones

from ocs.cli.render import output
from ocs.errors import Refused
from ocs.rules.wording import count_of, first_line, local, seconds, took, utc

MOMENT = datetime(2027, 1, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))


@pytest.fixture
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_people_read_the_local_time_with_its_offset(vienna: None) -> None:
    assert local(MOMENT) == local("2027-02-01T04:30:00Z") == "2027-02-01 05:30:00 +0100"
    assert local(None) == ""


def test_programs_read_utc() -> None:
    assert utc(MOMENT) == "2027-02-01T04:30:00Z"
    assert utc(None) is None


@given(integers(0, 7_000_000_000), timezones())
def test_utc_is_the_same_moment(since_1970: int, zone: ZoneInfo) -> None:
    moment = datetime.fromtimestamp(since_1970, zone)
    assert datetime.fromisoformat(utc(moment) or "") == moment.astimezone(UTC)


@pytest.mark.parametrize(("span", "number", "words"), [(None, None, ""), (timedelta(seconds=1.23456), 1.235, "1.2 s")])
def test_spans(span: timedelta | None, number: float | None, words: str) -> None:
    assert seconds(span) == number
    assert took(number) == words


@given(text(), integers(2, 200))
def test_a_first_line_is_one_line_of_bounded_width(said: str, width: int) -> None:
    line = first_line(said, width)
    assert len(line) <= width
    assert len(line.splitlines()) <= 1
    assert bool(line) is bool(said.strip())


def test_a_first_line_is_the_first_that_says_something() -> None:
    assert first_line("\n  \n  hello  \nthere") == "hello"
    assert first_line(None) == ""


def test_counts() -> None:
    assert [count_of(number, "job") for number in (0, 1, 2)] == ["0 jobs", "1 job", "2 jobs"]


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (100, ["RUN", "STARTED", "TOOK", ""]),
        (40, ["RUN", "STARTED", "TOOK"]),
        (24, ["RUN", "STARTED"]),
        (5, ["RUN", "STARTED"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_words(
    monkeypatch: pytest.MonkeyPatch, width: int, kept: list[str]
) -> None:
    monkeypatch.setattr(output.out, "width", width)
    row = ("3f2a9c1d", "2026-11-24 23:45:00 +0000", "0.3 s", "wrote/a/file/of/that/name")
    drawn = output.drawn_table(("RUN", "STARTED", "TOOK", ""), [row], spare=("", "TOOK"))
    assert [column.header for column in drawn.columns] == kept


def test_what_jobs_print_cannot_command_a_persons_terminal() -> None:
    """Colours, titles, cursor movements: neither in sentences nor in tables nor in errors."""
    hostile = "\x1b[31mred\x1b[0m \x1b]0;a title\x07and\x9b2J \x1b[1Aup"
    with output.out.capture() as said:
        output.say(hostile)
        output.table(("SUMMARY",), [(hostile,)])
    with output.err.capture() as told:
        output.tell(hostile)
        output.fail(Refused(hostile, hint=hostile))
    for printed in (said.get(), told.get()):
        assert not set(printed) & {"\x1b", "\x07", "\x9b"}
        assert printed.count("red and up") == 2 + (printed == told.get())


def test_what_jobs_print_is_shown_as_it_stands() -> None:
    """Tabs stay tabs, for programs that read columns; a word between colons is no picture."""
    with output.out.capture() as said:
        output.say("a\tb :100: :warning: [red]\n    indented\n10%\r20%")
        output.table(("SUMMARY",), [(":100: [red]",)])
    with output.err.capture() as told:
        output.tell("a\tb :100:", style="red")
    assert said.get().startswith("a\tb :100: :warning: [red]\n    indented\n20%\n")
    assert ":100: [red]" in said.get().splitlines()[-1]
    assert "a\tb :100:" in told.get()


def test_a_table_shows_what_others_have_disguised(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("COMMAND",), [("rm \u202efdp.elif\x1b[2K\x07",)])
    assert "rm <U+202E>fdp.elif" in capsys.readouterr().out
