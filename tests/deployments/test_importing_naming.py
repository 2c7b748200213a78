"""Names of imported jobs and targets: each once, also when thousands want the same one."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some

from deployments.importing import automations, scheduler
from deployments.importing.naming import Names
from tests.foreign import automation, automations_file, scheduler_database

MANY = 3_000
WANTED = some.sampled_from(["a", "a-2", "a-2-2", "a-3", "b"])


@given(taken=some.lists(WANTED), wanted=some.lists(WANTED))
def test_each_gets_the_first_free_one(taken: list[str], wanted: list[str]) -> None:
    names, used = Names(taken), set(taken)
    for each in wanted:
        first = next(name for name in chain([each], (f"{each}-{n}" for n in count(2))) if name not in used)
        assert names.free(each) == first
        used.add(first)


def test_thousands_of_aliases_with_one_name_become_as_many_targets(tmp_path: Path) -> None:
    aliases = {f"ops {chr(0x4E00 + number)}": ("telegram", str(number)) for number in range(MANY)}
    path = scheduler_database(tmp_path / "scheduler.db", aliases=aliases)
    names = [address.name for address in scheduler.read(path, datetime.now(UTC)).addresses]
    assert set(names) == {"ops", *(f"ops-{number}" for number in range(2, MANY + 1))}


def test_thousands_of_webhooks_with_one_name_become_as_many_targets(tmp_path: Path) -> None:
    command = {"kind": "command", "argv": ["df"]}
    jobs = [
        automation(
            str(number),
            "Report",
            {"kind": "cron", "expr": "0 8 * * *"},
            command,
            delivery={"mode": "webhook", "to": f"https://hooks.example.org/{number}"},
        )
        for number in range(2_000)
    ]
    source = automations.read(automations_file(tmp_path / "a.json", jobs), "UTC")
    assert len({address.name for address in source.addresses}) == len(source.jobs) == len(jobs)
