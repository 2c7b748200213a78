"""A job whose strategy another package brings: read, refused and shown like one of ours, and by itself when broken."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.command import Ocs

ASK = "id: ask\nrun:\n  http:\n    url: https://example.org/health\n    method: POST\n"


@pytest.fixture
def broken(tmp_path: Path, extension: Path) -> str:
    """A PYTHONPATH with a package beside the good one that fails when it is imported."""
    package = tmp_path / "broken"
    about = package / "ocs_ftp-2.0.dist-info"
    about.mkdir(parents=True)
    (package / "ocs_ftp.py").write_text("import not_installed_anywhere\n")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: ocs-ftp\nVersion: 2.0\n")
    (about / "entry_points.txt").write_text("[openclaw.strategies]\nftp = ocs_ftp:FTP\n")
    return f"{extension}:{package}"


def test_its_document_is_checked_with_file_and_line(ocs: Ocs, extension: Path) -> None:
    there = {"PYTHONPATH": str(extension)}
    ocs.write("ask", ASK)
    assert ocs("jobs", "validate", **there).status == 0
    ocs.write("ask", ASK.replace("https:", "ftps:").replace("POST", "PSOT") + "    bdy: x\n  timeout: 0\n")
    said = ocs("jobs", "validate", **there)
    assert said.status == 1
    assert [line.split()[:2] for line in said.err.splitlines()[:4]] == [
        ["deployments/jobs/ask.yaml:4", "run.http.url:"],
        ["deployments/jobs/ask.yaml:5", "run.http.method:"],
        ["deployments/jobs/ask.yaml:6", "run.http.bdy:"],
        ["deployments/jobs/ask.yaml:7", "run.timeout:"],
    ]
    assert "Nearest: POST" in said.err
    assert "unknown key. Nearest: body." in said.err


def test_an_unknown_strategy_is_told_what_is_installed(ocs: Ocs, extension: Path) -> None:
    ocs.write("ask", ASK.replace("http:", "htp:"))
    told = ocs("jobs", "validate", PYTHONPATH=str(extension)).err
    assert "ask.yaml:3  run.htp: unknown key. Nearest: http. Installed strategies: shell, agent" in told
    assert "ask.yaml:3  run.htp: unknown key." in ocs("jobs", "validate").err
    ocs.write("ask", "id: ask\nrun: {shell: x, http: {url: https://example.org}}\n")
    assert "keep one of shell and http" in ocs("jobs", "validate", PYTHONPATH=str(extension)).err


def test_the_schema_has_it_where_it_is_installed(ocs: Ocs, extension: Path) -> None:
    shown = ocs("--json", "schema", "job", PYTHONPATH=str(extension)).json["schema"]
    assert shown["$defs"]["Run"]["properties"]["http"]["description"] == "An HTTP request."
    jsonschema.Draft202012Validator.check_schema(shown)
    valid = jsonschema.Draft202012Validator(shown)
    job = {"id": "ask", "run": {"http": {"url": "https://example.org"}}}
    assert list(valid.iter_errors(job)) == []
    assert list(valid.iter_errors({**job, "run": {"http": {"url": 7}}}))
    assert "http" not in json.dumps(ocs.json("schema", "job")["schema"]["$defs"]["Run"])


def test_a_broken_package_takes_down_what_uses_it_and_nothing_else(ocs: Ocs, broken: str) -> None:
    ocs.write("ask", ASK)
    ocs.write("fetch", "id: fetch\nrun:\n  ftp: {host: example.org}\n")
    ocs.write("hello", "id: hello\nrun: echo hello\n")
    said = ocs("--json", "jobs", "validate", PYTHONPATH=broken).json
    (problem,) = said["errors"]
    assert (problem["file"], problem["line"], problem["path"]) == ("deployments/jobs/fetch.yaml", 3, "run.ftp")
    assert problem["message"].startswith("The strategy ftp of ocs-ftp 2.0 cannot be loaded: ModuleNotFoundError")
    (ocs.folder / "deployments" / "jobs" / "fetch.yaml").unlink()
    assert ocs("jobs", "validate", PYTHONPATH=broken).status == 0
    assert "http" in ocs("schema", "job", PYTHONPATH=broken).out


def test_the_doctor_names_it(ocs: Ocs, broken: str) -> None:
    checks = ocs("--json", "doctor", PYTHONPATH=broken).json["checks"]
    found = {check["finding"]: check["state"] for check in checks if check["name"] == "extensions"}
    assert found.pop("The strategy http is installed.") == "ok"
    assert found.pop("The kind of target file is installed.") == "ok"
    ((finding, state),) = found.items()
    assert (state, "ocs-ftp 2.0" in finding, "not_installed_anywhere" in finding) == ("problem", True, True)
