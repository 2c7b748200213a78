"""docs/deliveries.md and docs/monitoring.md: their jobs are jobs, and the check of a signature is right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from deployments import yaml_text
from ocs.rules.expectation import impossible
from ocs.spec import parse, unsupported

DOCUMENT = Path(__file__).parents[2] / "docs" / "deliveries.md"


def blocks(language: str, document: Path = DOCUMENT) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_its_jobs_can_be_rolled_out() -> None:
    jobs = [parse(yaml_text.load(text)) for text in blocks("yaml")]
    assert [problem for job in jobs for problem in unsupported(job)] == []
    assert [job.deliver.to for job in jobs if job.deliver] == [("ops",), ("ops",), ("slack-webhook/ops",)]


def test_what_monitoring_expects_of_a_job_can_be_fulfilled() -> None:
    (job,) = (parse(yaml_text.load(text)) for text in blocks("yaml", DOCUMENT.with_name("monitoring.md")))
    assert job.expect is not None
    assert [*impossible(job)] == []


def documented_check() -> Any:
    """The function `genuine` as people copy it."""
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(code, names)
    return names["genuine"]


def test_its_check_of_a_signature_is_right() -> None:
    import time

    from blocks.webhook_transport import signature

    now = str(int(time.time()))
    headers = {"webhook-id": "a", "webhook-timestamp": now, "webhook-signature": signature("key", "a", now, b"{}")}
    genuine = documented_check()
    assert genuine(headers, b"{}", "key")
    assert not genuine(headers, b"{ }", "key")
    assert not genuine(headers, b"{}", "kex")
    old = {**headers, "webhook-timestamp": "1000000000"}
    old["webhook-signature"] = signature("key", "a", "1000000000", b"{}")
    assert not genuine(old, b"{}", "key")
