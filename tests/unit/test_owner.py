"""Who executes a run: told apart from every other process, and known to be gone only when that is certain."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tasks.recovery import owner

TELL = "from tasks.recovery import owner; print(owner.me())"


def test_this_process_is_not_gone() -> None:
    assert not owner.is_gone(owner.me())
    assert owner.is_of_this_host(owner.me())


def test_a_process_that_has_ended_is_gone_and_had_a_name_of_its_own() -> None:
    ended = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True).stdout.strip()
    assert ended != owner.me()
    assert owner.is_of_this_host(ended)
    assert owner.is_gone(ended)


def test_a_process_that_got_the_number_of_one_that_is_gone_is_another() -> None:
    assert owner.is_gone(owner.me().rpartition(":")[0] + ":1")


@pytest.mark.parametrize("name", ["another-host:12345678:4026531836:1:1", "", "worker", "a:b"])
def test_of_other_hosts_nothing_is_known(name: str) -> None:
    assert not owner.is_gone(name)
    assert not owner.is_of_this_host(name)


def test_a_state_tells_who_executes() -> None:
    assert owner.executed_by(owner.executed_by_me()) == owner.me()
    assert owner.executed_by("Something else.") is None
    assert owner.executed_by(None) is None
