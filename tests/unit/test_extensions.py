"""What installed packages bring: each by itself, whatever is wrong with another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocs.errors import Unusable
from ocs.extensions import Extensions, imported

GROUP = "openclaw.test-doors"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Put a package there that registers `entry`, as an installer would, with the module that it names."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(package: str, entry: str, code: str) -> None:
        (tmp_path / f"{package}_module.py").write_text(code)
        about = tmp_path / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[{GROUP}]\n{entry} = {package}_module:THING\n")

    yield put
    for name in [name for name in sys.modules if name.endswith("_module")]:
        del sys.modules[name]


def doors() -> Extensions[str]:
    def short(name: str, thing: str) -> None:
        if len(thing) > 9:
            raise ValueError("it is too long")

    return Extensions(GROUP, "door", str, {"ours": "string:digits"}, short)


def test_ours_and_theirs_are_found_by_name(install: Callable[[str, str, str], None]) -> None:
    install("good", "barn", "THING = 'barn'")
    assert (doors().get("ours"), doors().get("barn")) == ("0123456789", "barn")
    assert (doors().names(), list(doors().brought())) == (["ours", "barn"], ["barn"])
    assert list(doors().problems()) == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import not_installed_anywhere", "cannot be loaded: ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("THING = 7", "TypeError: bad_module:THING is no str"),
        ("THONG = ''", "cannot be loaded: AttributeError"),
        ("THING = 'far too long'", "cannot be loaded: ValueError: it is too long"),
    ],
)
def test_a_broken_package_is_named_and_stops_no_other(
    install: Callable[[str, str, str], None], code: str, told: str
) -> None:
    install("bad", "gate", code)
    install("good", "barn", "THING = 'barn'")
    found = doors()
    for _ in range(2):  # the second time it is known already
        with pytest.raises(Unusable, match=r"The door gate of bad 1\.0") as refused:
            found.get("gate")
        assert told in refused.value.message
        assert refused.value.hint
    assert found.usable() == {"ours": "0123456789", "barn": "barn"}
    assert list(found.problems()) == [refused.value.message]


def test_nobody_takes_our_names_or_one_anothers(install: Callable[[str, str, str], None]) -> None:
    install("thief", "ours", "THING = 'theirs'")
    install("one", "barn", "THING = '1'")
    install("two", "barn", "THING = '2'")
    assert doors().get("ours") == "0123456789"
    with pytest.raises(Unusable, match=r"brought by one 1\.0 and two 1\.0; uninstall all but one"):
        doors().get("barn")
    assert any("thief 1.0 registers the door ours, which is ours" in problem for problem in doors().problems())


def test_a_name_that_nobody_has_is_told_with_those_that_there_are(install: Callable[[str, str, str], None]) -> None:
    install("good", "barn", "THING = 'barn'")
    with pytest.raises(Unusable, match="There is no door 'brn' here; there are ours, barn"):
        doors().get("brn")
    assert "good_module" not in sys.modules  # nothing is loaded to say so


def test_what_cannot_be_imported_is_told() -> None:
    with pytest.raises(Unusable, match="installed_by_nobody:run cannot be loaded: ModuleNotFoundError"):
        imported("installed_by_nobody:run")
