"""Which dispatch a key names, and what stands against values that a flow run brings."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis.strategies import integers, text, uuids

from ocs.rules.origin import key_of, named_in, objection
from ocs.spec import Job


def job(job_id: str = "deploy", **document: Any) -> Job:
    return Job.model_validate({"id": job_id, "run": "true", **document})


@given(dispatch_id=uuids(), publication=integers(0, 10**6))
def test_a_key_that_we_made_names_its_dispatch_and_publication(dispatch_id: UUID, publication: int) -> None:
    assert named_in(key_of(dispatch_id, publication)) == (dispatch_id, publication)


@given(text())
def test_no_text_breaks_the_reader(key: str) -> None:
    named_in(key)


OURS = "0f0e0d0c-0b0a-4908-8706-050403020100"


@pytest.mark.parametrize(
    "key",
    [
        *(None, "", "scheduled x 2026", OURS.upper(), OURS.replace("-", ""), f"{{{OURS}}}", f"urn:uuid:{OURS}"),
        *(f" {OURS}", *(f"{OURS}:{turn}" for turn in ("", "x", "-1", "0", "01", "1:2", "+1", "1_0"))),
    ],
)
def test_only_the_very_spelling_of_a_key_names_a_dispatch(key: str | None) -> None:
    assert named_in(key) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"identity": {"run_as": "nobody"}}, "identity: understood, but not supported yet"),
        ({"authorization": {"ref": "x"}}, "authorization: understood, but not supported yet"),
        ({"evidence": {"ref": "x"}}, "evidence: understood, but not supported yet"),
        ({"contract": {"sandbox": "strict"}}, "contract.sandbox: understood, but not supported yet"),
        ({"child_credentials": "inherit"}, "child_credentials: understood, but not supported yet"),
        (
            {"run": {"agent": {"message": "x", "session": "cron:x"}}, "deliver": {"to": "ops"}},
            "run.agent.session: the gateway keeps",
        ),
    ],
)
def test_what_a_rollout_refuses_is_refused_for_one_run(changes: dict[str, Any], told: str) -> None:
    why = objection(job(**changes), "deploy")
    assert why is not None
    assert told in why


def test_a_run_may_change_anything_else_but_which_job_it_is() -> None:
    assert objection(job(limits={"overlap": "allow"}, retry={"max": 3}), "deploy") is None
    why = objection(job("other"), "deploy")
    assert why is not None
    assert 'it belongs to the job "deploy"' in why
