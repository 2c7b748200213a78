"""Timing: what an environment may ask for, and that the times fit together."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from ocs.errors import UsageError
from ocs.timing import PREFIX, Timing, from_environment, seconds, timing
from tests.conftest import Times

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def test_nothing_set_is_what_is_written() -> None:
    assert from_environment({"HOME": "/"}) == Timing()


def test_a_variable_replaces_its_time_and_no_other() -> None:
    assert from_environment({"OCS_TIMING_LEASE": "90"}) == Timing(lease=timedelta(seconds=90))
    assert from_environment({"OCS_TIMING_GRACE": "0.5"}).grace == timedelta(seconds=0.5)


@pytest.mark.parametrize("value", ["", "soon", "60s", "-1", "nan", "inf", "1e99", "99999999"])
def test_what_is_no_number_of_seconds_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="OCS_TIMING_LEASE=") as refused:
        from_environment({"OCS_TIMING_LEASE": value})
    assert refused.value.hint == "Write it like OCS_TIMING_LEASE=90"


def test_a_time_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="OCS_TIMING_LEESE is set, and there is no such time"):
        from_environment({"OCS_TIMING_LEESE": "90"})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"LEASE": "25"}, "renewal + renewal_retry (25 s) has to be shorter than lease (25 s)"),
        ({"RENEWAL": "30", "LEASE": "600"}, "renewal (30 s) has to be shorter than second_look (30 s)"),
        ({"STANDSTILL": "70"}, "standstill (70 s) has to be shorter than lease - renewal + second_look (70 s)"),
        ({"ORPHAN_GRACE": "58"}, "orphan_grace + kill (63 s) has to be shorter than lease (60 s)"),
        ({"GRACE": "25"}, "grace + kill (30 s) has to be shorter than worker_stop (30 s)"),
        ({"WORKER_STOP": "60"}, "worker_stop (60 s) has to be shorter than worker_end (60 s)"),
        ({"END_WAITS": "120"}, "end_waits (120 s) has to be shorter than delivery_lease (120 s)"),
        ({"PART": "120"}, "part (120 s) has to be shorter than delivery_lease (120 s)"),
        ({"SLOT_KEPT": "40"}, "tick + publish_after (40 s) has to be shorter than slot_kept (40 s)"),
        ({"STORE_STATEMENT": "35"}, "store_statement (35 s) has to be shorter than store_command (35 s)"),
    ],
    ids=lambda given: "-".join(given).lower() if isinstance(given, dict) else "",
)
def test_times_that_contradict_each_other_are_refused(changed: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        from_environment({f"OCS_TIMING_{name}": value for name, value in changed.items()})
    assert says in refused.value.message
    assert PREFIX in (refused.value.hint or "")


def test_a_process_that_is_started_has_the_times_of_the_one_that_starts_it(times: Times) -> None:
    times(lease=90)
    assert timing().lease == timedelta(seconds=90)
    program = "from ocs.timing import timing; print(timing().lease)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "0:01:30\n"


def test_a_worker_that_is_given_nonsense_says_so_and_does_not_start() -> None:
    environment = {**os.environ, "OCS_TIMING_LEASE": "soon"}
    ended = subprocess.run(
        [sys.executable, "-m", "ocs.worker"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == UsageError.exit_status
    assert 'OCS_TIMING_LEASE="soon" is no number of seconds' in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


def test_the_times_for_operators_are_as_documented() -> None:
    rows = re.findall(r"^\| `OCS_TIMING_(\w+)` \| ([^|]+) \|", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    written = {name.lower(): default.strip() for name, default in rows}
    defaults = {field.name: seconds(getattr(Timing(), field.name)) for field in fields(Timing)}
    assert written
    assert written.items() <= defaults.items()
