"""An agent proposes jobs: nothing changes until a person says yes, who sees all of it and whose word counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs.errors import InvalidJob, Refused
from ocs.rules.attribution import Attribution
from ocs.rules.proposals import ProposalStatus
from ocs.service import changing, proposals, session
from ocs.service.listener import Deaf
from ocs.store import audit
from ocs.store import proposals as rows
from tests.mcp.asking import ask, door
from tests.mcp.conftest import write

TIDY = 'id: tidy\n# every hour\nschedule: "0 * * * *"\nrun: ./tidy.sh\n'
NIGHT = TIDY.replace("0 * * * *", "0 3 * * *")


def ann() -> Attribution:
    return Attribution("ann", "cli", session.now())


def file_of(project: Path, job_id: str) -> Path:
    return project / "deployments" / "jobs" / f"{job_id}.yaml"


async def proposed(document: str) -> str:
    """The id of a proposal that an agent makes."""
    async with door("research") as client:
        answer = await ask(client, "propose_job", document=document, why="it is quiet at night")
    assert not answer.failed, answer.text
    return answer.facts["id"]


async def accept(project: Path, given: str) -> changing.Changed:
    async with session.store() as store:
        return await proposals.accept(store, project, given, "", deploy=False, by=ann(), listener=Deaf())


async def test_a_change_is_shown_and_becomes_the_file_when_a_person_accepts_it(project: Path) -> None:
    write(project, "tidy", TIDY)
    async with door("research") as client:
        preview = await ask(client, "preview_job", document=NIGHT)
        assert (preview.facts["kind"], len(preview.facts["would_run_at"])) == ("change", 3)
        assert '-schedule: "0 * * * *"\n+schedule: "0 3 * * *"' in preview.fences["what would change"]
        assert (await ask(client, "list_proposals")).facts["proposals"] == []
    given = await proposed(NIGHT)
    assert file_of(project, "tidy").read_text() == TIDY
    assert (await accept(project, given)).job.id == "tidy"
    assert file_of(project, "tidy").read_text() == NIGHT
    async with door("research") as client:
        (told,) = (await ask(client, "list_proposals")).facts["proposals"]
    assert (told["status"], told["decided_by"]) == ("accepted", "ann")
    with pytest.raises(Refused, match="accepted already by ann"):
        await accept(project, given)
    async with session.store() as store:
        did = {(each.actor, each.source, each.action) for each in await audit.events(store, job="tidy")}
    by_ann = {("ann", "cli", "proposal-accepted"), ("ann", "cli", "job-changed")}
    assert did == {("research", "mcp", "proposal-made"), *by_ann}


async def test_a_proposal_for_a_file_that_was_changed_meanwhile_is_refused_and_stays_open(project: Path) -> None:
    write(project, "tidy", TIDY)
    given = await proposed(NIGHT)
    write(project, "tidy", TIDY.replace("./tidy.sh", "./other.sh"))
    with pytest.raises(Refused, match="changed since this was proposed"):
        await accept(project, given)
    assert "other.sh" in file_of(project, "tidy").read_text()
    async with session.store() as store:
        found = await proposals.one(store, given)
        assert found.status == "open"
        assert "cannot be accepted" in found.remarks[0]
        rejected = await proposals.reject(store, given, "it moved on", by=ann())
    assert (rejected.status, rejected.reason) == ("rejected", "it moved on")


async def test_a_job_that_a_person_has_removed_is_proposed_with_their_word(project: Path) -> None:
    write(project, "tidy", TIDY)
    await changing.remove(session.catalogue(), "tidy", deploy=False, by=ann(), listener=Deaf())
    async with door("research") as client:
        answer = await ask(client, "propose_job", document=TIDY, why="it is missing")
    assert answer.facts["kind"] == "new"
    assert "ann removed tidy at" in answer.facts["remarks"][0]
    assert not file_of(project, "tidy").exists()
    await accept(project, "tidy")
    assert file_of(project, "tidy").read_text() == TIDY


async def test_a_job_that_a_person_removes_while_a_change_of_it_is_open_stays_removed(project: Path) -> None:
    write(project, "tidy", TIDY)
    given = await proposed(NIGHT)
    await changing.remove(session.catalogue(), "tidy", deploy=False, by=ann(), listener=Deaf())
    with pytest.raises(Refused, match="changed since this was proposed"):
        await accept(project, given)
    assert not file_of(project, "tidy").exists()
    async with session.store() as store:
        assert "ann removed tidy" in (await proposals.one(store, given)).remarks[1]


async def test_what_is_valid_no_more_when_it_is_accepted_stays_open(project: Path) -> None:
    write(project, "tidy", TIDY)
    given = await proposed("id: after-tidy\nafter: {job: tidy}\nrun: ./after.sh\n")
    file_of(project, "tidy").unlink()
    with pytest.raises(InvalidJob):
        await accept(project, given)
    assert not file_of(project, "after-tidy").exists()
    async with session.store() as store:
        assert (await proposals.one(store, given)).status == "open"


@pytest.mark.parametrize("is_written", [False, True], ids=["before", "after"])
async def test_an_acceptance_that_was_cut_off_is_taken_up(project: Path, is_written: bool) -> None:
    given = await proposed(TIDY)
    async with session.store() as store:
        row = await rows.proposal_by(store, given)
        await rows.decide(store, row, ProposalStatus.ACCEPTED, "", by=ann())
        if is_written:
            write(project, "tidy", TIDY)
        (waits,) = await proposals.listed(store)
        assert "cut off" in waits.remarks[0]
    assert (await accept(project, given)).job.id == "tidy"
    assert file_of(project, "tidy").read_text() == TIDY
    async with session.store() as store:
        assert await proposals.listed(store) == []


async def test_nothing_is_hidden_from_the_person_who_decides(project: Path) -> None:
    given = await proposed("id: tidy\nrun: echo \N{RIGHT-TO-LEFT OVERRIDE}live\N{ZERO WIDTH SPACE}ly\n")
    async with session.store() as store:
        diff = (await proposals.one(store, given)).diff
    assert "<U+202E>live<U+200B>ly" in diff


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("id: ../../x\nrun: echo\n", "small letters"),
        ("id: x\nrunn: echo\n", "Nearest: run"),
        ("id: x\nrun: echo\n" + "#\n" * 10_000, "10,003 lines"),
        ("id: x\nrun: echo " + "y" * 70_000, "at most 65536"),
        ("[" * 5000, "nested more than"),
        ("a: &a [1,1]\n" + "".join(f"k{n}: [*a,*a,*a,*a]\n" for n in range(300)) + "id: x\nrun: y\n", "unknown key"),
        ("just words", "keys and values"),
        ('id: tidy\n# every hour\nschedule: "0 * * * *"\nrun: ./tidy.sh\n', "says this already"),
        ("id: x\nschedule: {at: 2020-01-01T00:00:00Z}\nrun: y\n", "is past"),
        ("id: x\nafter: {job: nothing}\nrun: y\n", "nothing"),
        ("id: x\nidentity: {}\nrun: y\n", "identity"),
    ],
    ids=["path", "key", "lines", "bytes", "nesting", "anchors", "words", "same", "past", "parent", "unsupported"],
)
async def test_what_is_no_job_is_refused_with_all_that_is_wrong(project: Path, document: str, said: str) -> None:
    write(project, "tidy", TIDY)
    async with door() as client:
        for tool, more in (("preview_job", {}), ("propose_job", {"why": "so"})):
            answer = await ask(client, tool, document=document, **more)
            assert answer.failed
            assert said in answer.text
        assert (await ask(client, "list_proposals")).facts["proposals"] == []
    assert [path.name for path in (project / "deployments" / "jobs").iterdir()] == ["tidy.yaml"]
