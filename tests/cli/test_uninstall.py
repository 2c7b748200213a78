"""`ocs uninstall --dry-run`: what lies where; nothing goes."""

from __future__ import annotations

from tests.cli.command import Ocs


def test_it_says_what_lies_where_and_removes_nothing(ocs: Ocs) -> None:
    ocs("runs", "list")
    parts = {each["what"]: each for each in ocs.json("uninstall", "--dry-run")["parts"]}
    assert parts["data, logs, backups"]["remove"] == f"rm -r {ocs.home}"
    assert parts["project"]["where"] == str(ocs.folder)
    assert not {"service", "store", "server and worker"} & parts.keys()
    assert (ocs.home / "store.db").exists()


def test_no_password_is_shown(ocs: Ocs) -> None:
    said = ocs("uninstall", "--dry-run", OCS_STORE_URL="postgresql+asyncpg://ann:geheim@nowhere/ocs")
    assert "nowhere/ocs" in said.out
    assert "geheim" not in said.out


def test_it_does_not_remove_itself(ocs: Ocs) -> None:
    assert ocs.json("uninstall", status=2)["error"]["code"] == "usage"
