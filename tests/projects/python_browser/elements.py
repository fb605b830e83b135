"""What is looked for, and what a script learns of it."""

import armada
from armada.browser import Locator
from cases import Case, case, raises


async def ids(locator: Locator) -> str:
    """The ids of what a locator finds."""
    return " ".join(await locator.evaluate_all("elements => elements.map(element => element.id)"))


@case
async def locators_find_elements(case: Case) -> None:
    page = await case.open("selectors.html")
    for locator, expected in [
        (page.locator(".fruit"), "apple pear"),
        (page.locator("//li[2]"), "pear"),
        (page.get_by_text("APPLE"), "apple"),
        (page.get_by_text("Send", exact=True), "send"),
        (page.get_by_text("a >> b"), "arrows"),
        (page.get_by_role("list"), "list"),
        (page.get_by_role("button", name="Send", exact=True), "send"),
        (page.get_by_role("button", name="send"), "send submit"),
        (page.get_by_role("heading", level=2), "second"),
        (page.get_by_role("button", pressed=True), "toggle"),
        (page.get_by_role("button", disabled=True), "off"),
        (page.get_by_role("button", expanded=True), "menu"),
        (page.get_by_role("option", selected=True), "green"),
        (page.get_by_role("checkbox", checked=True), "agreed"),
        (page.get_by_role("checkbox", checked=False), "other"),
        (page.get_by_label("your NAME"), "name"),
        (page.get_by_label("Your", exact=True), ""),
        (page.get_by_placeholder("E-MAIL"), "mail"),
        (page.get_by_placeholder("Your e-mail", exact=True), "mail"),
        (page.get_by_alt_text("logo"), "logo"),
        (page.get_by_title("tip"), "tip"),
        (page.get_by_test_id("a b"), "tested"),
        (page.locator("li").first, "apple"),
        (page.locator("li").last, "plain"),
        (page.locator("li").nth(1), "pear"),
        (page.locator("li").filter(has_text="PEAR"), "pear"),
        (page.locator("li").filter(has="b"), "pear"),
        (page.locator("li").filter(has=page.locator("b"), has_text="pe"), "pear"),
        (page.locator(".seen").filter(visible=True), "shown"),
        (page.locator("#list").locator("li").first, "apple"),
        (page.locator("#list").get_by_text("Apple"), "apple"),
    ]:
        assert await ids(locator) == expected, locator
        assert await locator.count() == len(expected.split()), locator
    assert page.locator("a").locator("b").selector == "a >> b"


@case
async def two_matches_are_an_error_that_lists_them(case: Case) -> None:
    page = await case.open("selectors.html")
    with raises(armada.InvalidError, '<li id="apple" class="fruit">Apple</li>'):
        await page.inner_text(".fruit")
    with raises(armada.TimeoutError, "no element matches"):
        await page.inner_text("#none", timeout=50)


@case
async def all_gives_a_locator_for_each(case: Case) -> None:
    page = await case.open("selectors.html")
    assert [await item.inner_text() for item in await page.locator("li").all()] == ["Apple", "Pear", "Plain"]


@case
async def handles_stay_with_their_element(case: Case) -> None:
    page = await case.show("<ul><li>one<b>x</b><li>two</ul>")
    first, second = await page.query_selector_all("li")
    await page.evaluate("document.querySelector('ul').prepend(document.querySelectorAll('li')[1])")
    assert (await first.inner_text(), await second.inner_text()) == ("onex", "two")
    inside = first.locator("b")
    del first
    assert await inside.inner_text() == "x"
    assert await page.query_selector("#none") is None
    found = await page.query_selector("li")
    assert found is not None and await found.text_content() == "two"
    await page.set_content("")
    with raises(armada.ClosedError):
        await second.inner_text()


@case
async def texts_html_values_and_attributes_are_read(case: Case) -> None:
    page = await case.open("reads.html")
    assert await page.inner_text("#text") == "SHOWN"
    assert await page.text_content("#text") == "shown hidden"
    assert await page.all_inner_texts("li") == ["ONE", "TWO"]
    assert await page.all_text_contents("li") == ["one", "two"]
    assert await page.inner_html("#text") == 'shown<span hidden=""> hidden</span>'
    assert await page.input_value("#input") == "value"
    assert await page.get_attribute("#input", "data-x") == '"quoted"'
    assert await page.get_attribute("#input", "data-y") is None
    attributes = {"id": "input", "value": "value", "data-x": '"quoted"', "readonly": ""}
    assert await page.attributes("#input") == attributes
    assert await page.count("li") == 2


@case
async def boxes_are_measured(case: Case) -> None:
    page = await case.open("reads.html")
    assert await page.bounding_box("#box") == {"x": 300, "y": 200, "width": 50, "height": 25.5}
    assert await page.locator("#text span").bounding_box() is None


@case
async def states_are_told(case: Case) -> None:
    page = await case.open("reads.html")
    assert await page.is_visible("#text") and not await page.is_hidden("#text")
    assert await page.is_hidden("#none") and not await page.is_visible("#invisible")
    assert await page.is_enabled("#button") and not await page.is_disabled("#button")
    assert await page.is_disabled("#in-disabled-group")
    assert await page.is_editable("textarea") and not await page.is_editable("#input")
    assert await page.is_checked("#checked")
    with raises(armada.TimeoutError):
        await page.is_enabled("#none", timeout=50)


@case
async def states_are_waited_for(case: Case) -> None:
    page = await case.show("<p hidden>late")
    script = "setTimeout(() => { document.querySelector('p').hidden = false }, 100); null"
    await page.evaluate(script)
    await page.locator("p").wait_for(state="attached")
    late = await page.wait_for_selector("p")
    assert await late.inner_text() == "late"
    await page.evaluate("setTimeout(() => { document.querySelector('p').remove() }, 100); null")
    await late.wait_for(state="hidden")
    await late.wait_for(state="detached")
    with raises(armada.TimeoutError):
        await late.wait_for(timeout=50)


@case
async def frames_are_listed_and_entered(case: Case) -> None:
    page = await case.show("<iframe name=inner srcdoc='<button>b</button>'></iframe>")
    frame = page.frame_locator("iframe")
    await frame.get_by_role("button").click()
    assert await frame.locator("button").inner_text() == "b"
    assert [(frame.name, frame.depth) for frame in page.frames] == [("", 0), ("inner", 1)]
    assert page.frames[1].url == "about:srcdoc"
