"""What a person decides in Prefect's UI, done in a real browser and found by what is written on the page."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from playwright.async_api import Locator, Page, async_playwright, expect

from blocks.gateway import OpenClawGateway
from blocks.target import DeliveryTarget
from blocks.targets import all_targets
from deployments import catalogue, rollout
from ocs.rules.approval import UI, ApprovalStatus
from ocs.rules.dispatch import DispatchKind, RunStatus
from ocs.store.approvals import approvals
from tests.e2e.system import RunningSystem
from tests.e2e.test_approvals import suspended

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}; CHROMIUM names another one"),
]
PATIENCE_MS = 150_000


@pytest.fixture
async def page(prefect_server: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        context = await browser.new_context(
            base_url=prefect_server.removesuffix("/api"), viewport={"width": 1280, "height": 1000}
        )
        context.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield await context.new_page()
        await browser.close()


async def open_run(page: Page, flow_run_id: object) -> None:
    await page.goto(f"/runs/flow-run/{flow_run_id}")


def field(page: Page, label: str) -> Locator:
    """A field of the form on the page, by what is written above it."""
    heading = page.locator(".schema-form-property__label", has_text=label)
    return page.locator(".schema-form-property").filter(has=heading).last


async def press(page: Page, button: str, then: str) -> None:
    """Press a button of the page, and the one in the dialog that it opens."""
    await page.get_by_role("button", name=button, exact=True).first.click()
    await page.locator(".p-modal__card").get_by_role("button", name=then, exact=True).click()


async def answered(page: Page, flow_run_id: object, *, decision: str, by: str, reason: str = "") -> str:
    """Answer the form of a suspended run; returns what stood above it."""
    await open_run(page, flow_run_id)
    await page.get_by_role("button", name="Resume", exact=True).first.click()
    form = page.locator(".p-modal__card")
    await field(page, "Decision").locator(".p-select-button__control").press("ArrowDown")
    await page.locator(".p-select-option", has_text=decision).click()
    await field(page, "Your name").locator("textarea").fill(by)
    await field(page, "Reason").locator("textarea").fill(reason)
    said = await form.inner_text()
    await form.get_by_role("button", name="Submit", exact=True).click()
    await expect(form).to_be_hidden()
    return said


async def process_group(ocs: RunningSystem, name: str) -> int:
    """The process group of a job's run, once it has one."""

    async def look() -> int | None:
        return next((run.pid for run in await ocs.runs_of(name) if run.pid), None)

    return await ocs.eventually(look)


def living(group: int) -> list[psutil.Process]:
    """The processes of a group that have not ended; a zombie has, and only waits for its parent."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def test_a_run_is_approved_through_the_form(ocs: RunningSystem, page: Page) -> None:
    job = ocs.write("live", run="echo ./deploy.sh --stage live", approval={"required": True})
    await ocs.deploy()
    await ocs.run("live")
    request, flow_run = await suspended(ocs, "live")
    said = await answered(page, flow_run.id, decision="approve", by="carla", reason="checked")
    assert f"{job} waits for you" in said
    assert "echo ./deploy.sh --stage live" in said
    run = await ocs.ended_run("live")
    assert (run.id, run.status) == (request.run_id, RunStatus.OK)
    (decided,) = await approvals(ocs.store, job=job)
    assert (decided.status, decided.decided_by, decided.decided_from, decided.reason) == (
        ApprovalStatus.APPROVED,
        "carla",
        UI,
        "checked",
    )


async def test_a_run_is_rejected_through_the_form(ocs: RunningSystem, page: Page) -> None:
    ocs.write("risky", run="echo ran", approval={"required": True})
    await ocs.deploy()
    await ocs.run("risky")
    _, flow_run = await suspended(ocs, "risky")
    await answered(page, flow_run.id, decision="reject", by="dora", reason="not on a Friday")
    run = await ocs.ended_run("risky")
    assert (run.status, run.error) == (RunStatus.CANCELLED, "Rejected by dora: not on a Friday.")
    await open_run(page, flow_run.id)
    await expect(page.get_by_text("Cancelled").first).to_be_visible()


async def test_a_run_is_approved_in_prefects_second_ui(ocs: RunningSystem, page: Page) -> None:
    """There what one can do about a run is in a menu, and the form is made of other parts."""
    job = ocs.write("second", run="echo ./deploy.sh --stage live", approval={"required": True})
    await ocs.deploy()
    await ocs.run("second")
    _, flow_run = await suspended(ocs, "second")
    await page.goto(f"/v2/runs/flow-run/{flow_run.id}")
    await page.locator("button[aria-haspopup=menu]").first.click()
    await page.get_by_role("menuitem", name="Resume").click()
    form = page.get_by_role("dialog")
    await expect(form).to_contain_text("echo ./deploy.sh --stage live")
    await form.get_by_text("Select", exact=True).click()
    await page.get_by_role("option", name="approve").click()
    await form.get_by_label("Your name").fill("carla")
    await form.get_by_role("button", name="Resume", exact=True).click()
    assert (await ocs.ended_run("second")).status is RunStatus.OK
    (decided,) = await approvals(ocs.store, job=job)
    assert (decided.status, decided.decided_by, decided.decided_from) == (ApprovalStatus.APPROVED, "carla", UI)


async def test_a_form_without_a_name_is_refused(ocs: RunningSystem, page: Page) -> None:
    ocs.write("nameless", run="echo ran", approval={"required": True})
    await ocs.deploy()
    await ocs.run("nameless")
    request, flow_run = await suspended(ocs, "nameless")
    await open_run(page, flow_run.id)
    await page.get_by_role("button", name="Resume", exact=True).first.click()
    await field(page, "Decision").locator(".p-select-button__control").press("ArrowDown")
    await page.locator(".p-select-option", has_text="approve").click()
    await page.locator(".p-modal__card").get_by_role("button", name="Submit", exact=True).click()
    await expect(page.locator(".p-modal__card").get_by_text("required").first).to_be_visible()
    assert [waiting.id for waiting in await approvals(ocs.store, job=request.job_id, pending_only=True)] == [request.id]


async def test_a_job_is_run_with_a_changed_command(ocs: RunningSystem, page: Page) -> None:
    job = ocs.write("greet", run="echo hello")
    await ocs.deploy()
    deployment = await ocs.client.read_deployment_by_name(f"job/{job}")
    await page.goto(f"/deployments/deployment/{deployment.id}/run")
    await field(page, "Command").locator("textarea").fill("echo changed in the browser")
    await page.get_by_role("button", name="Submit", exact=True).click()
    run = await ocs.ended_run("greet")
    assert (run.kind, run.stdout.strip()) == (DispatchKind.MANUAL, "changed in the browser")


async def test_a_running_shell_job_is_cancelled_with_all_it_started(ocs: RunningSystem, page: Page) -> None:
    ocs.write("endless", run="sleep 1000 & sleep 1000; wait", retry={"max": 2})
    await ocs.deploy()
    await ocs.run("endless")
    group = await process_group(ocs, "endless")
    assert living(group)
    (run,) = await ocs.runs_of("endless")
    await open_run(page, run.flow_run_id)
    await press(page, "Cancel", "Confirm")
    assert (await ocs.ended_run("endless")).status is RunStatus.CANCELLED
    assert living(group) == []


async def test_a_failed_run_is_retried(ocs: RunningSystem, page: Page, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    ocs.write("flaky", run=f"test -e {mended}")
    await ocs.deploy()
    await ocs.run("flaky")
    failed = await ocs.ended_run("flaky")
    mended.touch()
    await open_run(page, failed.flow_run_id)
    await press(page, "Retry", "Retry")
    first, again = await ocs.ended("flaky", count=2)
    assert (first.status, again.status, again.retry_of) == (RunStatus.ERROR, RunStatus.OK, first.id)


async def test_a_schedule_that_is_paused_stays_so_and_the_plan_names_it(ocs: RunningSystem, page: Page) -> None:
    job = ocs.write("nightly", schedule="0 2 * * *", run="true")
    await ocs.deploy()
    deployment = await ocs.client.read_deployment_by_name(f"job/{job}")

    async def is_active() -> bool:
        return (await ocs.client.read_deployment(deployment.id)).schedules[0].active

    async def is_paused() -> bool:
        return not await is_active()

    async def step() -> rollout.Step:
        planned = await rollout.plan(ocs.client, catalogue.read(ocs.project))
        return next(step for step in planned.steps if step.job_id == job)

    await page.goto(f"/deployments/deployment/{deployment.id}")
    switch = page.get_by_role("switch").first
    await switch.click()
    await ocs.eventually(is_paused)
    assert (await step()).paused_in_ui
    await ocs.deploy()
    assert await is_paused()
    await page.reload()
    await switch.click()
    await ocs.eventually(is_active)
    assert not (await step()).paused_in_ui


def block_field(page: Page, label: str) -> Locator:
    """Where a field of a block is typed into. One that may be nothing has a switch and no label of this kind."""
    named = page.locator(".p-label__label", has_text=re.compile(f"^{label}"))
    return page.locator(".schema-form-property").filter(has=named).locator("input, textarea")


async def test_a_delivery_target_is_edited(ocs: RunningSystem, page: Page) -> None:
    name = ocs.id("desk")
    target = DeliveryTarget(kind="gateway", channel="telegram", recipient="4711")
    block = await cast("Any", target.save(name))
    await page.goto(f"/blocks/block/{block}/edit")
    recipient = block_field(page, "Recipient")
    await expect(recipient).to_have_value("4711")
    await recipient.fill("4712")
    await page.get_by_role("button", name="Save", exact=True).click()

    async def is_changed() -> bool:
        found = (await all_targets(ocs.client))[name]
        return found is not None and (found.channel, found.recipient) == ("telegram", "4712")

    assert await ocs.eventually(is_changed)


async def test_a_gateway_is_edited(ocs: RunningSystem, page: Page) -> None:
    """Both tokens are plain fields; one that was never given takes a text at once."""
    name = ocs.id("gate")
    block = await cast("Any", OpenClawGateway(url="http://gate.example:1").save(name))
    await page.goto(f"/blocks/block/{block}/edit")
    url = block_field(page, "URL")
    await expect(url).to_have_value("http://gate.example:1")
    await url.fill("http://gate.example:2")
    await block_field(page, "Token").fill("the token")
    await block_field(page, "Hooks Token").fill("the other one")
    await page.get_by_role("button", name="Save", exact=True).click()

    async def is_changed() -> OpenClawGateway | None:
        found = await OpenClawGateway.aload(name)
        return found if found.url.endswith(":2") else None

    found = await ocs.eventually(is_changed)
    assert [each.get_secret_value() for each in (found.token, found.hooks_token)] == ["the token", "the other one"]
