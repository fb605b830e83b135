"""What a job does. Shows how a form is filled in with a made-up person and a secret, and what is kept of it."""

from dataclasses import dataclass
from typing import Any

import armada
from armada.browser import Page
from armada.identity import Identity

from ctx_agent_context import AgentContext


@dataclass
class Registered:
    """What a job gives. It becomes the job's result, as JSON."""

    number: int
    """The member's number."""
    person: Identity
    """Who it is, with the password: an account is worth nothing without it."""
    left_through: str | None
    """The upstream proxy by which the browser's connections left."""


async def ctx_script(job_ctx: armada.Job, agent_ctx: AgentContext) -> Registered:
    person = job_ctx.identity
    report = job_ctx.monitoring_client

    page = await agent_ctx.browser.new_page()
    await page.goto(f"{agent_ctx.site}/join")
    await fill_in(page, person, job_ctx.job_message)
    report.record_success_event(f"filled in the form for {person.given_name} {person.family_name}")

    await page.get_by_role("button", name="Join").click()
    await page.wait_for_url("**/joined/*")
    number = int(await page.get_by_test_id("number").inner_text())
    assert await page.get_by_test_id("user-name").inner_text() == person.user_name
    await report.save_artifact("welcome.png", "image/png", await page.screenshot())
    report.record_success_event(f"{person.user_name} is member {number}")

    return Registered(number, person, agent_ctx.proxy.status().upstream)


async def fill_in(page: Page, person: Identity, task: dict[str, Any]) -> None:
    """Fills in the whole form, each field by its label."""
    # The host types it: neither this script nor its log ever has the text.
    await page.get_by_label("Invitation").fill_secret("invitation")

    home = person.address
    for label, text in {
        "Given name": person.given_name,
        "Family name": person.family_name,
        "Date of birth": person.birth_date.isoformat(),
        "Street and number": f"{home.street} {home.number}",
        "Postal code": home.postal_code,
        "City": home.city,
        "Phone": person.phone,
        "Email": person.email,
        "User name": person.user_name,
        "Password": person.password,
    }.items():
        await page.get_by_label(label, exact=True).fill(text)
    await page.get_by_label("Country").select_option(home.country)
    await page.get_by_label("Our letter").select_option(label=task["letter"])
