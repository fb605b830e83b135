"""What a script does to elements, and what the page sees of it."""

from datetime import timedelta

import armada
from armada.browser import FilePayload, Page
from cases import Case, case, raises


async def noted(page: Page) -> str:
    """What the page has noted since the last time."""
    return " ".join(await page.evaluate("notes.splice(0)"))


@case
async def a_click_is_what_a_person_does(case: Case) -> None:
    page = await case.open("acts.html")
    await page.click("#target")
    assert await noted(page) == "pointerdown:0 mousedown:0 pointerup:0 mouseup:0 click:0"
    assert await page.evaluate("[last.offsetX, last.offsetY]") == [50, 50]


@case
async def clicks_have_button_place_modifiers_and_count(case: Case) -> None:
    page = await case.open("acts.html")
    await page.click("#target", position={"x": 7, "y": 9}, modifiers=["Shift", "ControlOrMeta"])
    seen = "[last.offsetX, last.offsetY, last.shiftKey, last.ctrlKey, last.altKey, last.metaKey]"
    assert await page.evaluate(seen) == [7, 9, True, True, False, False]
    await page.locator("#target").click(modifiers=["Alt", "Meta"])
    assert await page.evaluate(seen) == [50, 50, False, False, True, True]
    await noted(page)
    await page.click("#target", button="right")
    assert "contextmenu:2" in await noted(page)
    await page.click("#target", button="middle")
    assert "auxclick:1" in await noted(page)
    await page.click("#target", click_count=3)
    assert await page.evaluate("last.detail") == 3
    with raises(armada.InvalidError, "1 to 3"):
        await page.click("#target", click_count=4)


@case
async def a_click_can_be_held(case: Case) -> None:
    page = await case.open("acts.html")
    await page.click("#target", delay=300)
    assert await page.evaluate("held") >= 250


@case
async def a_double_click_is_two_clicks_and_one_event(case: Case) -> None:
    page = await case.open("acts.html")
    await page.dblclick("#target")
    seen = (await noted(page)).split()
    assert (seen.count("click:0"), seen.count("dblclick:0")) == (2, 1)


@case
async def the_mouse_hovers(case: Case) -> None:
    page = await case.open("acts.html")
    await page.hover("#target")
    assert await page.locator("#target").evaluate("target => target.matches(':hover')")


@case
async def trial_waits_and_force_does_not(case: Case) -> None:
    page = await case.show("<button disabled onclick='this.textContent = 1'>b</button>")
    with raises(armada.TimeoutError, "enabled"):
        await page.click("button", timeout=100)
    with raises(armada.TimeoutError):
        await page.click("button", trial=True, timeout=timedelta(milliseconds=100))
    await page.click("button", force=True)
    await page.evaluate("document.querySelector('button').disabled = false; null")
    await page.click("button", trial=True)
    assert await page.inner_text("button") == "b"
    await page.click("button", timeout=0)
    assert await page.inner_text("button") == "1"


@case
async def fields_are_filled_and_cleared(case: Case) -> None:
    page = await case.open("acts.html")
    await page.fill("#text", "Grüße, 世界 👋")
    assert await page.input_value("#text") == "Grüße, 世界 👋"
    await page.locator("#text").clear()
    assert await page.input_value("#text") == ""
    await page.get_by_label("Labelled").fill("by label")
    assert await page.input_value("label=Labelled") == "by label"


@case
async def typing_goes_key_by_key(case: Case) -> None:
    page = await case.open("acts.html")
    await page.press_sequentially("#keys", "Aé!", delay=1)
    assert await page.input_value("#keys") == "Aé!"
    assert "keydown:A:KeyA" in await noted(page)
    await page.press("#keys", "Shift+ArrowLeft")
    await page.locator("#keys").press("Delete")
    assert await page.input_value("#keys") == "Aé"
    with raises(armada.InvalidError, "NoSuchKey"):
        await page.press("#keys", "NoSuchKey")


@case
async def the_keyboard_writes_where_the_focus_is(case: Case) -> None:
    page = await case.open("acts.html")
    await page.focus("#text")
    await page.keyboard.type("one", delay=1)
    await page.keyboard.press("Tab")
    await page.keyboard.type("two")
    assert (await page.input_value("#text"), await page.input_value("#area")) == ("one", "two")


@case
async def the_mouse_moves_presses_and_turns(case: Case) -> None:
    page = await case.open("acts.html")
    box = await page.bounding_box("#target")
    assert box is not None
    await page.mouse.move(box["x"] + 10, box["y"] + 10, steps=3)
    await page.mouse.down()
    await page.mouse.up()
    assert await noted(page) == "pointerdown:0 mousedown:0 pointerup:0 mouseup:0 click:0"
    await page.mouse.click(box["x"] + 20, box["y"] + 30, button="right", delay=1)
    assert "contextmenu:2" in await noted(page)
    assert await page.evaluate("[last.offsetX, last.offsetY]") == [20, 30]
    await page.mouse.wheel(0, 300)
    await page.wait_for_function("scrollY === 300")


@case
async def boxes_are_checked_and_unchecked(case: Case) -> None:
    page = await case.open("acts.html")
    await page.check("#box")
    assert await page.is_checked("#box")
    await page.uncheck("#box")
    assert not await page.is_checked("#box")
    await page.set_checked("label=Boxed", True)
    assert await page.locator("#boxed").is_checked()


@case
async def options_are_selected_by_value_label_and_place(case: Case) -> None:
    page = await case.open("acts.html")
    assert await page.select_option("#one", "r") == ["r"]
    assert await page.select_option("#one", "Green") == ["g"]
    assert await page.select_option("#one", label="Blue") == ["b"]
    assert await page.select_option("#one", index=1) == ["g"]
    assert await page.select_option("#many", ["r", "b"]) == ["r", "b"]
    assert await page.select_option("#many", index=[0, 1], label=["Blue"]) == ["r", "g", "b"]
    assert await page.select_option("#many", []) == []


@case
async def elements_are_dragged(case: Case) -> None:
    page = await case.open("acts.html")
    await page.drag_and_drop("#dragged", "#drop")
    assert await page.inner_text("#drop") == "dropped: payload"
    await page.locator("#slider").drag_to(page.locator("#drop"))
    assert await page.inner_text("#drop") == "slid"


@case
async def files_are_uploaded(case: Case) -> None:
    page = await case.open("acts.html")
    files: list[FilePayload] = [
        {"name": "a.txt", "mimeType": "text/plain", "buffer": b"hello"},
        {"name": "b.bin", "mimeType": "", "buffer": bytes([0, 255])},
    ]
    await page.set_input_files("#files", files)
    await page.wait_for_function("document.querySelector('#uploaded').textContent !== ''")
    assert await page.inner_text("#uploaded") == "a.txt text/plain 104,101,108,108,111; b.bin 0,255"
    await page.set_input_files("#file", files[0])
    assert await page.locator("#file").evaluate("input => input.files[0].name") == "a.txt"
    await page.set_input_files("#file", [])
    assert await page.locator("#file").evaluate("input => input.files.length") == 0


@case
async def elements_get_the_focus_events_and_into_view(case: Case) -> None:
    page = await case.open("acts.html")
    await page.focus("#area")
    assert await page.is_focused("#area") and not await page.is_focused("#text")
    await page.dispatch_event("#target", "click", {"button": 1, "shiftKey": True})
    assert await noted(page) == "click:1"
    await page.dispatch_event("#target", "own")
    assert await noted(page) == "own"
    await page.scroll_into_view_if_needed("#far")
    box = await page.bounding_box("#far")
    assert box is not None and box["y"] < 720
