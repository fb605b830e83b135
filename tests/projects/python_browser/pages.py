"""What pages run, show and bring up."""

import asyncio
import struct

import armada
from cases import Case, case, raises


@case
async def scripts_give_their_value(case: Case) -> None:
    page = await case.open("plain.html")
    assert await page.evaluate("1 + 1") == 2
    assert await page.evaluate("const a = 3; let b = 4; a * b") == 12
    assert await page.evaluate("({ a: [1, 'x', null, true, 1.5] })") == {"a": [1, "x", None, True, 1.5]}
    assert await page.evaluate("undefined") is None
    assert await page.evaluate("([a, b]) => a + b", [1, 2]) == 3
    assert await page.evaluate("it => it", {"deep": [{"text": "quotes \" ' ` \\ \0 👋"}]}) == {
        "deep": [{"text": "quotes \" ' ` \\ \0 👋"}]
    }
    assert await page.evaluate("async () => { await null; return 7 }") == 7
    heading = page.locator("h1")
    assert await heading.evaluate("(element, tail) => element.textContent + tail", "!") == "Plain!"
    assert await page.locator("h1, a").evaluate_all("(elements, more) => elements.length + more", 10) == 12
    with raises(armada.OtherError, "TypeError: wrong"):
        await page.evaluate("() => { throw new TypeError('wrong') }")
    with raises(armada.TimeoutError):
        await heading.evaluate("() => new Promise(() => {})", timeout=50)


@case
async def conditions_are_waited_for(case: Case) -> None:
    page = await case.open("plain.html")
    await page.evaluate("setTimeout(() => { window.ready = { n: 7 } }, 100); null")
    assert await page.wait_for_function("window.ready", polling=20) == {"n": 7}
    assert await page.wait_for_function("n => n + 1", arg=1) == 2
    with raises(armada.TimeoutError, "counts as true"):
        await page.wait_for_function("''", timeout=50)
    await page.wait_for_timeout(1)


@case
async def init_scripts_run_first(case: Case) -> None:
    page = await case.open("notes_early.html")
    await page.add_init_script("window.early = 'early'")
    await page.reload()
    assert await page.title() == "early"


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG."""
    assert png[1:4] == b"PNG"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@case
async def pictures_are_taken(case: Case) -> None:
    page = await case.show("<body style='margin: 0; height: 1440px'><div style='width: 100px; height: 50px'>")
    assert size(await page.screenshot()) == (1280, 720)
    assert size(await page.screenshot(full_page=True)) == (1280, 1440)
    assert size(await page.screenshot(clip={"x": 0, "y": 0, "width": 20, "height": 30})) == (20, 30)
    assert size(await page.locator("div").screenshot(omit_background=True)) == (100, 50)
    assert (await page.screenshot(type="jpeg", quality=50)).startswith(b"\xff\xd8\xff")
    assert (await page.locator("div").screenshot(type="webp"))[8:12] == b"WEBP"
    with raises(armada.InvalidError, "quality"):
        await page.screenshot(quality=50)


@case
async def pages_are_printed(case: Case) -> None:
    page = await case.open("plain.html")
    pdf = await page.pdf(format="A4", margin="1cm", landscape=True, print_background=True, scale=0.5, page_ranges="1")
    assert pdf.startswith(b"%PDF-")
    small = await page.pdf(width="10cm", height=400, prefer_css_page_size=True)
    assert b"MediaBox [0 0 283" in small or b"/MediaBox" in small
    with raises(armada.InvalidError, "'A99' is no paper"):
        await page.pdf(format="A99")
    with raises(armada.InvalidError, "'10' is no length"):
        await page.pdf(width="10")


@case
async def dialogs_are_answered(case: Case) -> None:
    page = await case.show("")
    assert await page.evaluate("confirm('sure?')") is False
    page.set_dialog_policy("accept")
    assert await page.evaluate("prompt('name?', 'Ada')") == "Ada"
    page.set_dialog_policy("accept", "Grace")
    assert await page.evaluate("prompt('name?')") == "Grace"
    page.set_dialog_policy("dismiss")
    assert await page.evaluate("prompt('name?')") is None
    seen = [(dialog.type, dialog.message, dialog.default_value, dialog.accepted) for dialog in page.dialogs]
    assert seen == [
        ("confirm", "sure?", "", False),
        ("prompt", "name?", "Ada", True),
        ("prompt", "name?", "", True),
        ("prompt", "name?", "", False),
    ]


@case
async def popups_are_handed_out(case: Case) -> None:
    page = await case.open("plain.html")
    await page.evaluate("open('/plain.html?1'); null")
    popup = await page.wait_for_popup()
    await popup.wait_for_url("**/plain.html?1")
    assert popup.context is page.context
    async with page.expect_popup(timeout=5_000) as expected:
        await page.evaluate("open('/plain.html?2'); null")
    second = await expected.value
    await second.wait_for_url("**/plain.html?2")
    with raises(armada.TimeoutError):
        async with page.expect_popup(timeout=50):
            pass
    with raises(RuntimeError, "async with"):
        await page.expect_popup().value


@case
async def downloads_are_kept(case: Case) -> None:
    page = await case.open("plain.html")
    with raises(armada.OtherError, "is a download"):
        await page.goto(case.url("attachment?name=a.bin&bytes=3"))
    download = await page.wait_for_download()
    assert (download.suggested_filename, download.url) == ("a.bin", case.url("attachment?name=a.bin&bytes=3"))
    assert await download.bytes() == b"xxx"
    await page.evaluate("document.querySelector('a').href = '/attachment?name=b.bin&bytes=5'; null")
    async with page.expect_download() as expected:
        await page.click("a")
    assert await (await expected.value).bytes(timeout=5_000) == b"xxxxx"


@case
async def pages_close_with_their_block_and_their_handle(case: Case) -> None:
    async with await case.browser.new_page() as page:
        assert not page.is_closed()
    assert page.is_closed()
    with raises(armada.ClosedError, "the page is closed"):
        await page.title()
    opener = await case.open("plain.html")
    await opener.evaluate("window.opened = open('/plain.html'); null")
    popup = await opener.wait_for_popup()
    assert await opener.evaluate("opened.closed") is False
    heading = popup.locator("h1")
    del popup
    await asyncio.sleep(0.1)
    assert await heading.inner_text() == "Plain"
    del heading
    await opener.wait_for_function("opened.closed")
    async with await case.browser.new_page() as page:
        await page.close()


@case
async def pages_come_to_the_front(case: Case) -> None:
    first = await case.open("plain.html")
    await case.open("plain.html")
    await first.bring_to_front()
    assert await first.evaluate("document.visibilityState") == "visible"
