"""Browser contexts: what they keep apart, and how their pages see the device."""

import armada
from armada.browser import Page
from cases import Case, case, raises


@case
async def the_browser_says_what_it_is(case: Case) -> None:
    info = await case.browser.launch()
    assert "Chrome/" in info.product and info.headless
    page = await case.open("plain.html")
    assert await page.evaluate("navigator.userAgent") == info.user_agent


@case
async def cookies_are_set_read_and_cleared(case: Case) -> None:
    context = await case.browser.current_context()
    await context.add_cookies(
        [
            {"name": "plain", "value": "1", "url": case.url("")},
            {
                "name": "full",
                "value": "2",
                "domain": "127.0.0.1",
                "path": "/echo",
                "expires": 4_000_000_000,
                "httpOnly": True,
                "sameSite": "Strict",
            },
        ]
    )
    page = await case.open("echo")
    sent = await page.evaluate("JSON.parse(document.body.innerText).headers.cookie")
    assert sorted(sent.split("; ")) == ["full=2", "plain=1"]
    full, plain = sorted(await context.cookies(), key=lambda cookie: cookie["name"])
    assert (full["httpOnly"], full["sameSite"], full["path"]) == (True, "Strict", "/echo")
    assert full["expires"] > 1_700_000_000
    assert (plain["domain"], plain["expires"], plain["secure"], plain["sameSite"]) == ("127.0.0.1", -1, False, None)
    assert [cookie["name"] for cookie in await context.cookies(case.url("plain.html"))] == ["plain"]
    assert len(await context.cookies([case.url("echo"), case.url("")])) == 2
    await context.clear_cookies()
    assert await context.cookies() == []
    await context.add_cookies([full])
    assert await context.cookies() == [full]
    with raises(armada.InvalidError, "needs a `domain` or a `url`"):
        await context.add_cookies([{"name": "a", "value": "b"}])


@case
async def storage_goes_from_context_to_context(case: Case) -> None:
    page = await case.open("plain.html")
    await page.evaluate("localStorage.kept = 'yes'; document.cookie = 'a=1'; null")
    state = await page.context.storage_state()
    assert state["origins"] == [{"origin": case.site, "localStorage": [{"name": "kept", "value": "yes"}]}]
    async with await case.browser.new_context(storage_state=state) as context:
        other = await context.new_page()
        await other.goto(case.url("plain.html"))
        assert await other.evaluate("[localStorage.kept, document.cookie]") == ["yes", "a=1"]
    third = await case.browser.new_context()
    await third.set_storage_state(state)
    assert [cookie["name"] for cookie in await third.cookies()] == ["a"]


@case
async def headers_of_a_context_and_of_a_page_are_sent(case: Case) -> None:
    context = await case.browser.new_context(extra_http_headers={"x-one": "1"})
    page = await context.new_page()

    async def sent() -> list[str | None]:
        await page.goto(case.url("echo"))
        headers = await page.evaluate("JSON.parse(document.body.innerText).headers")
        return [headers.get("x-one"), headers.get("x-page")]

    assert await sent() == ["1", None]
    await page.set_extra_http_headers({"x-page": "3"})
    await context.set_extra_http_headers({"x-one": "new"})
    assert await sent() == ["new", "3"]


@case
async def contexts_close_with_their_block(case: Case) -> None:
    async with await case.browser.new_context() as context:
        page = await context.new_page()
    assert page.is_closed()
    with raises(armada.ClosedError):
        await context.new_page()
    async with await case.browser.new_context() as context:
        await context.close()


@case
async def a_page_keeps_its_context(case: Case) -> None:
    page = await (await case.browser.new_context()).new_page()
    await page.goto(case.url("plain.html"))
    assert await page.title() == "Plain"
    heading = page.locator("h1")
    del page
    assert await heading.inner_text() == "Plain"


@case
async def init_scripts_and_default_timeouts_hold_for_the_context(case: Case) -> None:
    context = await case.browser.new_context()
    await context.add_init_script("window.early = 'context'")
    page = await context.new_page()
    await page.goto(case.url("notes_early.html"))
    assert await page.title() == "context"
    context.set_default_timeout(50)
    with raises(armada.TimeoutError, "50 ms"):
        await page.click("#none")
    context.set_default_navigation_timeout(60)
    with raises(armada.TimeoutError, "60 ms"):
        await page.goto(case.url("never"))


async def measured(page: Page) -> list[object]:
    value: list[object] = await page.evaluate("[innerWidth, innerHeight, devicePixelRatio, 'ontouchstart' in window]")
    return value


@case
async def the_viewport_is_set(case: Case) -> None:
    page = await case.open("plain.html")
    assert await measured(page) == [1280, 720, 1, False]
    await page.set_viewport_size({"width": 400, "height": 300})
    assert await measured(page) == [400, 300, 1, False]
    await page.set_viewport_size({"width": 500, "height": 600}, device_scale_factor=2, has_touch=True)
    await page.reload()
    assert await measured(page) == [500, 600, 2, True]
    phone = await case.browser.new_context(
        viewport={"width": 390, "height": 844}, device_scale_factor=3, is_mobile=True, has_touch=True
    )
    page = await phone.new_page()
    await page.goto(case.url("phone.html"))
    assert await measured(page) == [390, 844, 3, True]
    sharp = await case.browser.new_context(device_scale_factor=2)
    assert await measured(await sharp.new_page()) == [1280, 720, 2, False]


@case
async def language_zone_agent_and_media_are_what_the_context_says(case: Case) -> None:
    context = await case.browser.new_context(
        locale="de-DE", timezone_id="Asia/Tokyo", user_agent="Own/1", color_scheme="dark", ignore_https_errors=True
    )
    page = await context.new_page()
    seen = "[navigator.language, navigator.userAgent, new Date(0).getHours(), (1.5).toLocaleString()]"
    assert await page.evaluate(seen) == ["de-DE", "Own/1", 9, "1,5"]
    queries = "['print', '(prefers-color-scheme: dark)', '(prefers-reduced-motion: reduce)']"
    media = f"{queries}.map(query => matchMedia(query).matches)"
    assert await page.evaluate(media) == [False, True, False]
    await page.emulate_media(reduced_motion="reduce")
    assert await page.evaluate(media) == [False, True, True]
    await page.emulate_media(media="print", color_scheme="light", reduced_motion="no-preference")
    assert await page.evaluate(media) == [True, False, False]
    await page.emulate_media(media="null", color_scheme="no-preference")
    assert await page.evaluate(media) == [False, False, False]
