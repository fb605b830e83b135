"""The way of nodriver."""

import armada
from cases import Case, case, raises


@case
async def one_tab_is_used_again(case: Case) -> None:
    tab = await case.browser.get(case.url("plain.html"))
    assert await case.browser.get(case.url("plain.html?2")) is tab
    assert tab.url == case.url("plain.html?2")
    other = await case.browser.get(case.url("plain.html?3"), new_tab=True)
    assert other is not tab and tab.url == case.url("plain.html?2")
    assert await tab.get(case.url("plain.html?4")) is tab and await tab is tab
    await tab.back()
    assert tab.url == case.url("plain.html?2")
    await tab.forward()
    await tab.activate()
    await tab.close()
    assert await case.browser.get(case.url("plain.html")) is not tab
    case.browser.stop()
    await case.browser.stop()


@case
async def elements_are_found_by_text(case: Case) -> None:
    tab = await case.browser.get(case.url("plain.html"))
    await tab.set_content(
        "<p>Please accept all of it</p><button>Accept all</button><input placeholder='Your name'><img alt='A logo'>"
    )
    button = await tab.find("accept all")
    assert (button.tag, button.text) == ("button", "Accept all")
    assert (await tab.find("accept all", best_match=False)).tag_name == "p"
    assert [element.tag for element in await tab.find_all("accept all")] == ["p", "button"]
    assert (await tab.find("your name")).tag == "input"
    assert (await tab.find("logo")).attrs["alt"] == "A logo"
    await tab.evaluate("setTimeout(() => document.body.append('late'), 200); null")
    assert (await tab.find("late")).tag == "body"
    assert (await tab.wait_for(text="Accept all")).tag == "button"
    with raises(armada.TimeoutError, "'nowhere'"):
        await tab.find("nowhere", timeout=0.2)


@case
async def elements_are_found_by_selector(case: Case) -> None:
    tab = await case.browser.get(case.url("selectors.html"))
    fruit = await tab.select(".fruit")
    assert (fruit.text, fruit["id"], fruit.attrs.id, fruit.attrs.class_) == ("Apple", "apple", "apple", "fruit")
    assert fruit.id == "apple" and fruit.href is None
    assert [element.text_all for element in await tab.select_all("li")] == ["Apple", "P ear", "Plain"]
    assert await tab.query_selector("#none") is None and await tab.query_selector_all("#none") == []
    assert (await tab.wait_for("#pear")).text == "P"
    assert [element.id for element in await tab.xpath("//li[1]")] == ["apple"]
    assert await tab.xpath("//nothing", timeout=0.1) == []
    with raises(TimeoutError, "#none"):
        await tab.select("#none", timeout=0.1)
    fruits = await tab.select("#list")
    assert [element.id for element in await fruits.query_selector_all("li")] == ["apple", "pear", "plain"]
    inside = await fruits.query_selector("li >> nth=-1")
    assert inside is not None and inside.id == "plain"


@case
async def elements_are_acted_on(case: Case) -> None:
    tab = await case.browser.get(case.url("acts.html"))
    field = await tab.select("#text")
    await field.send_keys("typed")
    assert await field.apply("field => field.value") == "typed"
    await field.clear_input()
    assert await field.input_value() == ""
    target = await tab.select("#target")
    await target.mouse_move()
    await target.click()
    await target.mouse_click()
    assert (await tab.evaluate("notes.filter(note => note === 'click:0').length")) == 2
    await (await tab.select("#dragged")).mouse_drag(await tab.select("#drop"))
    drop = await tab.select("#drop")
    assert drop.text == "dropped: payload" and "dropped" in await drop.get_html()
    await tab.evaluate("document.querySelector('#drop').textContent = 'changed'")
    assert drop.text == "dropped: payload" and (await drop.update()).text == "changed"
    option = await tab.select("#one option[value=g]")
    assert await option.select_option() == ["g"]
    assert await (await tab.select("#one")).select_option("b") == ["b"]
    await (await tab.select("#files")).send_file({"name": "a.txt", "mimeType": "text/plain", "buffer": b"x"})
    await (await tab.select("#far")).scroll_into_view()
    await (await tab.select("#keys")).send_keys("x\n")
    assert "submit" in await tab.evaluate("notes")
    with raises(AttributeError, "xpath=.."):
        option.parent


@case
async def tabs_are_read(case: Case) -> None:
    tab = await case.browser.get(case.url("plain.html"))
    assert "<h1>Plain</h1>" in await tab.get_content()
    assert case.url("plain.html?next") in await tab.get_all_urls()
    await tab.set_local_storage({"kept": "yes"})
    assert await tab.get_local_storage() == {"kept": "yes"}
    assert await tab.evaluate("Promise.resolve(7)", await_promise=True) == 7
    await tab.evaluate("document.body.style.height = '4000px'; null")
    await tab.scroll_down(50)
    assert await tab.evaluate("scrollY") == 360
    await tab.scroll_up(25)
    assert await tab.evaluate("scrollY") == 180
    assert await tab.save_screenshot() == "screenshot.jpeg"
    assert await tab.save_screenshot("shots/whole.png", format="png", full_page=True) == "whole.png"
    assert await (await tab.select("h1")).save_screenshot("heading.jpg") == "heading.jpg"
    assert (await tab.save_screenshot(as_base64=True)).startswith("/9j/")
    await tab.sleep(0)
    await tab.wait(0)
