"""Durations, sizes and percentages: what is read, what is refused, and that writing and reading agree."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, text, timedeltas

from ocs.spec import Retry, format_duration, format_size, is_slug, parse_duration, parse_size
from ocs.spec.values import LARGEST
from ocs.spec.written import LONGEST
from tests.unit.spec.documents import problems_of


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("2h", 7200),
        ("1d", 86400),
        ("1.5h", 5400),
        ("0s", 0),
        ("0.25s", 0.25),
        (" 2H ", 7200),
    ],
)
def test_durations_are_a_number_and_a_unit(written: str, seconds: float) -> None:
    assert parse_duration(written) == timedelta(seconds=seconds)


@pytest.mark.parametrize("written", ["15x", "15", "", "s", "-1s", "1h30m", "1,5h", "١٥m", "1e3s", "inf"])
def test_other_durations_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write "):
        parse_duration(written)


@pytest.mark.parametrize("written", ["3651d", "99999999999d", "9" * 500 + "s"])
def test_nothing_takes_longer_than_ten_years(written: str) -> None:
    with pytest.raises(ValueError, match="must be at most 3650d"):
        parse_duration(written)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0s"), (90, "90s"), (600, "10m"), (5400, "90m"), (86400, "1d"), (0.5, "0.5s"), (10, "10s")],
)
def test_durations_are_written_in_the_largest_whole_unit(seconds: float, written: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == written


@given(timedeltas(min_value=timedelta(0), max_value=LONGEST))
def test_a_written_duration_reads_back(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize("value", [-1, True, 1.5, float("inf"), float("nan"), 10**400, [], None, {"m": 1}])
def test_numbers_are_whole_seconds_and_nothing_else(value: Any) -> None:
    assert [problem.path for problem in problems_of(run={"shell": "true", "timeout": value})] == ["run.timeout"]


@pytest.mark.parametrize(
    ("written", "size"),
    [("64KiB", 65536), ("2KB", 2000), ("1MiB", 1048576), ("7B", 7), ("2.5KB", 2500), ("1 GB", 10**9)],
)
def test_sizes_have_binary_and_decimal_units(written: str, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "64", "64K", "64kib", "-1B", "0.5B", "1TB", "KB"])
def test_other_sizes_are_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(written)


@given(integers(0, LARGEST))
def test_a_written_size_reads_back(value: int) -> None:
    assert parse_size(format_size(value)) == value


@given(floats(0, 1))
def test_a_percentage_loses_nothing_when_written(share: float) -> None:
    retry = Retry(jitter=share)
    assert Retry.model_validate_json(retry.model_dump_json()).jitter == pytest.approx(share, abs=1e-15)


@given(text())
def test_no_text_breaks_the_readers(written: str) -> None:
    for read in (parse_duration, parse_size):
        with contextlib.suppress(ValueError):
            assert read(written) is not None


@pytest.mark.parametrize(
    ("given", "is_one"),
    [("nightly-report", True), ("a" * 64, True), ("a" * 65, False), ("a" * 100_000, False), ("a\n", False),
     ("-a", False), ("", False), ("a/b", False), ("é", False)],
)  # fmt: skip
def test_what_can_be_a_jobs_id(given: str, is_one: bool) -> None:
    assert is_slug(given) is is_one
