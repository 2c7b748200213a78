"""Secrets from the command line, on a server and a worker."""

from __future__ import annotations

import pytest

from tests.cli.command import Ocs

pytestmark = pytest.mark.e2e
VALUE = "correct-horse-battery"


def test_a_secret_is_set_named_used_and_removed(up: Ocs) -> None:
    shell = '{command: \'echo "[$KEY]"; test -n "$KEY"\', secrets: {KEY: pg-dump}}'
    up.write("dump", f"id: dump\nrun: {{shell: {shell}}}\n")
    assert "dump: there is no secret pg-dump. Mend it with: ocs secrets set pg-dump" in up("deploy", "dump").err
    up.write("off", "id: off\nenabled: false\nrun: {shell: {command: 'true', secrets: {KEY: pg-other}}}\n")
    assert "pg-other" not in up("deploy", "off").err
    said = up("secrets", "set", "pg-dump", stdin=f"{VALUE}\n")
    assert (said.status, VALUE in said.out + said.err) == (0, False)
    assert {"name": "pg-dump", "jobs": ["dump"]} in up.json("secrets", "list")["secrets"]
    ran = up("jobs", "run", "dump", "--wait")
    assert (ran.status, "[********]" in ran.out) == (0, True)
    assert up.json("secrets", "remove", "pg-dump")["secret"]["jobs"] == ["dump"]
    assert "pg-dump" not in [secret["name"] for secret in up.json("secrets", "list")["secrets"]]
    assert up.json("secrets", "remove", "pg-dump", status=1)["error"]["code"] == "not_found"
    up.json("jobs", "remove", "dump")
    up.json("jobs", "remove", "off")


@pytest.mark.parametrize(("name", "value"), [("Not A Name", "x"), ("empty", "\n"), ("nul", "")])
def test_what_is_no_secret_is_refused(up: Ocs, name: str, value: str) -> None:
    assert up("secrets", "set", name, stdin=value).status in (1, 2)
    assert name not in [secret["name"] for secret in up.json("secrets", "list")["secrets"]]
